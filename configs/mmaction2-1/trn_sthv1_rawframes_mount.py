# TRN on the raw frames of Something-Something V1 read from a mount, `ffrfs mount sthv1.ffr /mnt/sthv1`:
# nothing of ffrfs is named.
# Mounted at data/sthv1, where the stock config looks for it, not even this file is needed.
_base_ = "mmaction::recognition/trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv1-rgb.py"

data_root = "/mnt/sthv1/"

train_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "sthv1_train_list_rawframes.txt",
        data_prefix=dict(img=data_root + "rawframes"),
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "sthv1_val_list_rawframes.txt",
        data_prefix=dict(img=data_root + "rawframes"),
    )
)
test_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "sthv1_val_list_rawframes.txt",
        data_prefix=dict(img=data_root + "rawframes"),
    )
)
