# ResNet-18 on ImageNet, with meta/train.txt and meta/val.txt, read from an archive in process, named by a URI:
# imagenet.ffr is the packed folder data/imagenet.
_base_ = "mmpretrain::resnet/resnet18_8xb32_in1k.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

data_root = "ffrecord://data/imagenet.ffr/"  # below the current folder; absolute: ffrecord:///data/imagenet.ffr/

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
