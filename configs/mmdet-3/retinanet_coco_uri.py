# RetinaNet on COCO read from an archive in process, named by a URI: no pipeline is edited.
# The archive has the annotation files, too; where it has not, write ann_file='/path/of/instances_train2017.json'.
_base_ = "mmdet::retinanet/retinanet_r18_fpn_1xb8-1x_coco.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

data_root = "ffrecord://data/coco.ffr/"  # absolute: ffrecord:///data/coco.ffr/

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = val_evaluator
