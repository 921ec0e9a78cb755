# SECOND on KITTI read from an archive in process, named by a URI: kitti.ffr is the packed folder data/kitti.
_base_ = "mmdet3d::second/second_hv_secfpn_8xb6-80e_kitti-3d-3class.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

data_root = "ffrecord://data/kitti.ffr/"  # below the current folder; absolute: ffrecord:///data/kitti.ffr/

sampler = dict(_base_.db_sampler, data_root=data_root, info_path=data_root + "kitti_dbinfos_train.pkl")
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type="ObjectSample", db_sampler=sampler),
    *_base_.train_pipeline[3:],
]

train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root, pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "kitti_infos_val.pkl")
test_evaluator = val_evaluator
