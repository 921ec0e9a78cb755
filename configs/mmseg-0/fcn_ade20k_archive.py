# FCN on ADE20K read from an archive in process, for mmseg 0 (put this folder into mmsegmentation's configs/).
# ade20k.ffr is the packed folder data/ade/ADEChallengeData2016. This generation cannot change one step of an inherited
# pipeline, so both are repeated; what differs from mmseg's own are the lines with file_client_args.
_base_ = "../fcn/fcn_r50-d8_512x512_80k_ade20k.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

file_client_args = dict(backend="ffrecord", fname="data/ade20k.ffr", path_prefix="data/ade/ADEChallengeData2016")

img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
crop_size = (512, 512)
train_pipeline = [
    dict(type="LoadImageFromFile", file_client_args=file_client_args),
    dict(type="LoadAnnotations", reduce_zero_label=True, file_client_args=file_client_args),
    dict(type="Resize", img_scale=(2048, 512), ratio_range=(0.5, 2.0)),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="Normalize", **img_norm_cfg),
    dict(type="Pad", size=crop_size, pad_val=0, seg_pad_val=255),
    dict(type="DefaultFormatBundle"),
    dict(type="Collect", keys=["img", "gt_semantic_seg"]),
]
test_pipeline = [
    dict(type="LoadImageFromFile", file_client_args=file_client_args),
    dict(
        type="MultiScaleFlipAug",
        img_scale=(2048, 512),
        flip=False,
        transforms=[
            dict(type="Resize", keep_ratio=True),
            dict(type="RandomFlip"),
            dict(type="Normalize", **img_norm_cfg),
            dict(type="ImageToTensor", keys=["img"]),
            dict(type="Collect", keys=["img"]),
        ],
    ),
]
evaluated = dict(  # evaluation reads the masks itself
    pipeline=test_pipeline,
    file_client_args=file_client_args,
    gt_seg_map_loader_cfg=dict(file_client_args=file_client_args),
)
data = dict(train=dict(pipeline=train_pipeline, file_client_args=file_client_args), val=evaluated, test=evaluated)
