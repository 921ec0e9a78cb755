# TSN on the videos of Kinetics-400 read from an archive in process, named by a URI:
# kinetics400.ffr is the packed folder data/kinetics400.
_base_ = "mmaction::recognition/tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

data_root = "ffrecord://data/kinetics400.ffr/"  # below the current folder; absolute: ffrecord:///data/kinetics400.ffr/

open_video = dict(type="DecordInit", io_backend="ffrecord")

train_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "kinetics400_train_list_videos.txt",
        data_prefix=dict(video=data_root + "videos_train"),
        pipeline=[open_video, *_base_.train_pipeline[1:]],
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "kinetics400_val_list_videos.txt",
        data_prefix=dict(video=data_root + "videos_val"),
        pipeline=[open_video, *_base_.val_pipeline[1:]],
    )
)
test_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "kinetics400_val_list_videos.txt",
        data_prefix=dict(video=data_root + "videos_val"),
        pipeline=[open_video, *_base_.test_pipeline[1:]],
    )
)
