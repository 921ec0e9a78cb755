# PointPillars on nuScenes' lidar read from an archive in process: nuscenes.ffr is the packed folder data/nuscenes.
_base_ = "mmdet3d::pointpillars/pointpillars_hv_fpn_sbn-all_8xb4-2x_nus-3d.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

archive = dict(backend="ffrecord", fname="data/nuscenes.ffr", path_prefix="data/nuscenes")
uri = "ffrecord://data/nuscenes.ffr/"  # for what is read without backend_args
in_archive = dict(_delete_=True, **archive)  # the base has None there, which a dict cannot be merged into
load_points = dict(type="LoadPointsFromFile", coord_type="LIDAR", load_dim=5, use_dim=5, backend_args=archive)
load_sweeps = dict(type="LoadPointsFromMultiSweeps", sweeps_num=10, backend_args=archive)

train_dataloader = dict(
    dataset=dict(
        ann_file=uri + "nuscenes_infos_train.pkl",
        backend_args=in_archive,
        pipeline=[load_points, load_sweeps, *_base_.train_pipeline[2:]],
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file=uri + "nuscenes_infos_val.pkl",
        backend_args=in_archive,
        pipeline=[load_points, dict(load_sweeps, test_mode=True), *_base_.test_pipeline[2:]],
    )
)
test_dataloader = val_dataloader
# NuScenesMetric evaluates with the nuScenes devkit, which reads data/nuscenes from the disk or a mount.
