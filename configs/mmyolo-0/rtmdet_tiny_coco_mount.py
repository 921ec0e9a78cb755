# RTMDet-tiny on COCO read from a mount, `ffrfs mount coco.ffr /mnt/coco`: nothing of ffrfs is named.
# Mounted at data/coco, where the stock config looks for it, not even this file is needed.
_base_ = "mmyolo::rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco.py"

data_root = "/mnt/coco/"
collate = dict(_delete_=True, type="yolov5_collate")  # inherited, it would be called with a _scope_

train_dataloader = dict(collate_fn=collate, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = val_evaluator
