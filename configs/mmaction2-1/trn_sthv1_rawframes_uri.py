# TRN on the raw frames of Something-Something V1 read from an archive in process, named by a URI:
# sthv1.ffr is the packed folder data/sthv1.
_base_ = "mmaction::recognition/trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv1-rgb.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

data_root = "ffrecord://data/sthv1.ffr/"  # below the current folder; absolute: ffrecord:///data/sthv1.ffr/

decode_frames = dict(type="RawFrameDecode", io_backend="ffrecord")

train_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "sthv1_train_list_rawframes.txt",
        data_prefix=dict(img=data_root + "rawframes"),
        pipeline=[_base_.train_pipeline[0], decode_frames, *_base_.train_pipeline[2:]],
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "sthv1_val_list_rawframes.txt",
        data_prefix=dict(img=data_root + "rawframes"),
        pipeline=[_base_.val_pipeline[0], decode_frames, *_base_.val_pipeline[2:]],
    )
)
test_dataloader = dict(
    dataset=dict(
        ann_file=data_root + "sthv1_val_list_rawframes.txt",
        data_prefix=dict(img=data_root + "rawframes"),
        pipeline=[_base_.test_pipeline[0], decode_frames, *_base_.test_pipeline[2:]],
    )
)
