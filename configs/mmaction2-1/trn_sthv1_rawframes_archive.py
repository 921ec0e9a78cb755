# TRN on the raw frames of Something-Something V1 read from an archive in process:
# sthv1.ffr is the packed folder data/sthv1.
_base_ = "mmaction::recognition/trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv1-rgb.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

uri = "ffrecord://data/sthv1.ffr/"  # for what is read without backend_args
decode_frames = dict(type="RawFrameDecode", io_backend="ffrecord", fname="data/sthv1.ffr", path_prefix="data/sthv1")

train_dataloader = dict(
    dataset=dict(
        ann_file=uri + "sthv1_train_list_rawframes.txt",
        pipeline=[_base_.train_pipeline[0], decode_frames, *_base_.train_pipeline[2:]],
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file=uri + "sthv1_val_list_rawframes.txt",
        pipeline=[_base_.val_pipeline[0], decode_frames, *_base_.val_pipeline[2:]],
    )
)
test_dataloader = dict(
    dataset=dict(
        ann_file=uri + "sthv1_val_list_rawframes.txt",
        pipeline=[_base_.test_pipeline[0], decode_frames, *_base_.test_pipeline[2:]],
    )
)
