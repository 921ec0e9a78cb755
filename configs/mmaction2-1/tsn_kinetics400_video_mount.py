# TSN on the videos of Kinetics-400 read from a mount, `ffrfs mount kinetics400.ffr /mnt/kinetics400`:
# nothing of ffrfs is named.
# Mounted at data/kinetics400, where the stock config looks for it, not even this file is needed.
_base_ = "mmaction::recognition/tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb.py"

data_root = "/mnt/kinetics400/"

train_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "kinetics400_train_list_videos.txt",
        data_prefix=dict(video=data_root + "videos_train"),
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "kinetics400_val_list_videos.txt",
        data_prefix=dict(video=data_root + "videos_val"),
    )
)
test_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "kinetics400_val_list_videos.txt",
        data_prefix=dict(video=data_root + "videos_val"),
    )
)
