# PointPillars on nuScenes' lidar read from a mount, `ffrfs mount nuscenes.ffr /mnt/nuscenes`:
# nothing of ffrfs is named.
# Mounted at data/nuscenes, where the stock config looks for it, not even this file is needed.
_base_ = "mmdet3d::pointpillars/pointpillars_hv_fpn_sbn-all_8xb4-2x_nus-3d.py"

data_root = "/mnt/nuscenes/"

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(data_root=data_root, ann_file=data_root + "nuscenes_infos_val.pkl")
test_evaluator = val_evaluator
