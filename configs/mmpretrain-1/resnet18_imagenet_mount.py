# ResNet-18 on ImageNet, with meta/train.txt and meta/val.txt,
# read from a mount, `ffrfs mount imagenet.ffr /mnt/imagenet`:
# nothing of ffrfs is named.
# Mounted at data/imagenet, where the stock config looks for it, not even this file is needed.
_base_ = "mmpretrain::resnet/resnet18_8xb32_in1k.py"

data_root = "/mnt/imagenet/"

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
