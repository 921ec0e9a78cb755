# Heatmap ResNet-50 on COCO's keypoints read from an archive in process: coco.ffr is the packed folder data/coco.
_base_ = "mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

archive = dict(backend="ffrecord", fname="data/coco.ffr", path_prefix="data/coco")
uri = "ffrecord://data/coco.ffr/"  # for what is read without backend_args
load_image = dict(type="LoadImage", backend_args=archive)

train_dataloader = dict(
    dataset=dict(
        ann_file=uri + "annotations/person_keypoints_train2017.json",
        pipeline=[load_image, *_base_.train_pipeline[1:]],
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file=uri + "annotations/person_keypoints_val2017.json",
        bbox_file=uri + "person_detection_results/COCO_val2017_detections_AP_H_56_person.json",
        pipeline=[load_image, *_base_.val_pipeline[1:]],
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=uri + "annotations/person_keypoints_val2017.json")
test_evaluator = val_evaluator
