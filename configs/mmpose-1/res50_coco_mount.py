# Heatmap ResNet-50 on COCO's keypoints read from a mount, `ffrfs mount coco.ffr /mnt/coco`: nothing of ffrfs is named.
# Mounted at data/coco, where the stock config looks for it, not even this file is needed.
_base_ = "mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py"

data_root = "/mnt/coco/"

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        bbox_file=data_root + "person_detection_results/COCO_val2017_detections_AP_H_56_person.json",
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/person_keypoints_val2017.json")
test_evaluator = val_evaluator
