# RTMDet-tiny on COCO read from an archive in process: coco.ffr is the packed folder data/coco.
_base_ = "mmyolo::rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

archive = dict(backend="ffrecord", fname="data/coco.ffr", path_prefix="data/coco")
uri = "ffrecord://data/coco.ffr/"  # for what is read without backend_args
load_image = dict(type="LoadImageFromFile", backend_args=archive)
collate = dict(_delete_=True, type="yolov5_collate")  # inherited, it would be called with a _scope_

train_dataloader = dict(
    collate_fn=collate,
    dataset=dict(
        ann_file=uri + "annotations/instances_train2017.json", pipeline=[load_image, *_base_.train_pipeline[1:]]
    ),
)
val_dataloader = dict(
    dataset=dict(ann_file=uri + "annotations/instances_val2017.json", pipeline=[load_image, *_base_.test_pipeline[1:]])
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=uri + "annotations/instances_val2017.json")
test_evaluator = val_evaluator
custom_hooks = [
    _base_.custom_hooks[0],
    dict(
        _base_.custom_hooks[1], switch_pipeline=[load_image, *_base_.custom_hooks[1]["switch_pipeline"][1:]]
    ),  # the last epochs'
]
