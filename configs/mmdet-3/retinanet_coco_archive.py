# RetinaNet on COCO read from an archive in process: mmdet's own config and the lines below.
# coco.ffr is the packed folder data/coco; the annotation files are in it, too.
_base_ = "mmdet::retinanet/retinanet_r18_fpn_1xb8-1x_coco.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

archive = dict(backend="ffrecord", fname="data/coco.ffr", path_prefix="data/coco")
load_image = dict(type="LoadImageFromFile", backend_args=archive)
in_archive = dict(_delete_=True, **archive)  # the base has None there, which a dict cannot be merged into

train_dataloader = dict(dataset=dict(backend_args=in_archive, pipeline=[load_image, *_base_.train_pipeline[1:]]))
val_dataloader = dict(dataset=dict(backend_args=in_archive, pipeline=[load_image, *_base_.test_pipeline[1:]]))
test_dataloader = val_dataloader
val_evaluator = dict(backend_args=in_archive)
test_evaluator = val_evaluator
