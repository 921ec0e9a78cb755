# As retinanet_coco_archive.py, and each worker reads the files of a whole batch at once before its pipeline runs.
_base_ = "./retinanet_coco_archive.py"

train_dataloader = dict(dataset=dict(_delete_=True, type="PrefetchDataset", dataset=_base_.train_dataloader.dataset))
