# RTMDet-tiny on COCO read from an archive in process, named by a URI: coco.ffr is the packed folder data/coco.
_base_ = "mmyolo::rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

data_root = "ffrecord://data/coco.ffr/"  # below the current folder; absolute: ffrecord:///data/coco.ffr/
collate = dict(_delete_=True, type="yolov5_collate")  # inherited, it would be called with a _scope_

train_dataloader = dict(collate_fn=collate, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = val_evaluator
