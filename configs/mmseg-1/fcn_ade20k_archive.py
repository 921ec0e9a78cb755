# FCN on ADE20K read from an archive in process: mmseg's own config and the lines below.
# ade20k.ffr is the packed folder data/ade/ADEChallengeData2016.
_base_ = "mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

archive = dict(backend="ffrecord", fname="data/ade20k.ffr", path_prefix="data/ade/ADEChallengeData2016")
load_image = dict(type="LoadImageFromFile", backend_args=archive)
load_mask = dict(type="LoadAnnotations", reduce_zero_label=True, backend_args=archive)

train_dataloader = dict(
    dataset=dict(backend_args=archive, pipeline=[load_image, load_mask, *_base_.train_pipeline[2:]])
)
val_dataloader = dict(
    dataset=dict(
        backend_args=archive, pipeline=[load_image, _base_.test_pipeline[1], load_mask, _base_.test_pipeline[3]]
    )
)
test_dataloader = val_dataloader
