# SRCNN's training on DIV2K read from an archive in process: DIV2K.ffr is the packed folder data/DIV2K.
_base_ = "mmagic::srcnn/srcnn_x4k915_1xb16-1000k_div2k.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

archive = dict(backend="ffrecord", fname="data/DIV2K.ffr", path_prefix="data/DIV2K")
load_images = [dict(step, backend_args=archive) for step in _base_.train_pipeline[:2]]

train_dataloader = dict(
    dataset=dict(
        backend_args=archive,
        pipeline=[*load_images, *_base_.train_pipeline[2:]],
    )
)
