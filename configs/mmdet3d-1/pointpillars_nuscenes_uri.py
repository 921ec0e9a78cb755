# PointPillars on nuScenes' lidar read from an archive in process, named by a URI:
# nuscenes.ffr is the packed folder data/nuscenes.
_base_ = "mmdet3d::pointpillars/pointpillars_hv_fpn_sbn-all_8xb4-2x_nus-3d.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

data_root = "ffrecord://data/nuscenes.ffr/"  # below the current folder; absolute: ffrecord:///data/nuscenes.ffr/

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
# NuScenesMetric evaluates with the nuScenes devkit, which reads data/nuscenes from the disk or a mount.
