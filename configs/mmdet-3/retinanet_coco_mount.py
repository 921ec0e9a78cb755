# RetinaNet on COCO read from a mount, `ffrfs mount coco.ffr /mnt/coco`: nothing of ffrfs is named.
# Mounted at data/coco, where mmdet looks for it, not even this file is needed.
_base_ = "mmdet::retinanet/retinanet_r18_fpn_1xb8-1x_coco.py"

data_root = "/mnt/coco/"

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = val_evaluator
