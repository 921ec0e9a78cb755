# As retinanet_coco_archive.py, but only the images are in the archive; data/coco/annotations is a folder on the disk.
_base_ = "mmdet::retinanet/retinanet_r18_fpn_1xb8-1x_coco.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

archive = dict(backend="ffrecord", fname="data/coco.ffr", path_prefix="data/coco")
load_image = dict(type="LoadImageFromFile", backend_args=archive)

train_dataloader = dict(dataset=dict(pipeline=[load_image, *_base_.train_pipeline[1:]]))
val_dataloader = dict(dataset=dict(pipeline=[load_image, *_base_.test_pipeline[1:]]))
test_dataloader = val_dataloader
