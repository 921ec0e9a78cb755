# ResNet-18 on ImageNet, with meta/train.txt and meta/val.txt, read from an archive in process:
# imagenet.ffr is the packed folder data/imagenet.
_base_ = "mmpretrain::resnet/resnet18_8xb32_in1k.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

archive = dict(backend="ffrecord", fname="data/imagenet.ffr", path_prefix="data/imagenet")
uri = "ffrecord://data/imagenet.ffr/"  # for what is read without backend_args
load_image = dict(type="LoadImageFromFile", backend_args=archive)

train_dataloader = dict(
    dataset=dict(ann_file=uri + "meta/train.txt", pipeline=[load_image, *_base_.train_pipeline[1:]])
)
val_dataloader = dict(dataset=dict(ann_file=uri + "meta/val.txt", pipeline=[load_image, *_base_.test_pipeline[1:]]))
test_dataloader = val_dataloader
