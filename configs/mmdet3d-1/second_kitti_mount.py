# SECOND on KITTI read from a mount, `ffrfs mount kitti.ffr /mnt/kitti`: nothing of ffrfs is named.
# Mounted at data/kitti, where the stock config looks for it, not even this file is needed.
_base_ = "mmdet3d::second/second_hv_secfpn_8xb6-80e_kitti-3d-3class.py"

data_root = "/mnt/kitti/"

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
