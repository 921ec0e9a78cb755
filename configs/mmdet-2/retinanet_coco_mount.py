# RetinaNet on COCO read from a mount, `ffrfs mount coco.ffr /mnt/coco`, for mmdet 2: nothing of ffrfs is named.
# Mounted at data/coco, where mmdet looks for it, not even this file is needed. (Put this folder into its configs/.)
_base_ = "../retinanet/retinanet_r18_fpn_1x_coco.py"

data_root = "/mnt/coco/"

validation = dict(ann_file=data_root + "annotations/instances_val2017.json", img_prefix=data_root + "val2017/")
data = dict(
    train=dict(ann_file=data_root + "annotations/instances_train2017.json", img_prefix=data_root + "train2017/"),
    val=validation,
    test=validation,
)
