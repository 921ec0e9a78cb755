# SECOND on KITTI read from an archive in process: kitti.ffr is the packed folder data/kitti.
_base_ = "mmdet3d::second/second_hv_secfpn_8xb6-80e_kitti-3d-3class.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

archive = dict(backend="ffrecord", fname="data/kitti.ffr", path_prefix="data/kitti")
uri = "ffrecord://data/kitti.ffr/"  # for what is read without backend_args
in_archive = dict(_delete_=True, **archive)  # the base has None there, which a dict cannot be merged into
load_points = dict(type="LoadPointsFromFile", coord_type="LIDAR", load_dim=4, use_dim=4, backend_args=archive)
sampler = dict(_base_.db_sampler, points_loader=load_points, backend_args=archive)
train_pipeline = [
    load_points,
    _base_.train_pipeline[1],
    dict(type="ObjectSample", db_sampler=sampler),
    *_base_.train_pipeline[3:],
]

train_dataloader = dict(
    dataset=dict(dataset=dict(ann_file=uri + "kitti_infos_train.pkl", backend_args=in_archive, pipeline=train_pipeline))
)
val_dataloader = dict(
    dataset=dict(
        ann_file=uri + "kitti_infos_val.pkl",
        backend_args=in_archive,
        pipeline=[load_points, *_base_.test_pipeline[1:]],
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=uri + "kitti_infos_val.pkl")
test_evaluator = val_evaluator
