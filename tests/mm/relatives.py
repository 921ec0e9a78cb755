"""The relatives of mmdet and mmseg: this project's configs for each, and data small enough to be made at run time."""

from __future__ import annotations

import json
import pickle
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.photos import build_coco, scenes

__all__ = ["RELATIVES", "SOURCES", "Relative", "build"]

CONFIGS = Path(__file__).parents[2] / "configs"
SOURCES = ("archive", "uri", "mount")  # how a config reads
SIZE = (96, 72)
COUNT = 6  # samples of each


@dataclass(frozen=True)
class Relative:
    """A framework with a data set. package: its name in Python; data: the folder and archive of its data."""

    package: str
    overlays: str
    data: str
    batch_size: int = 2

    def config(self, source: str) -> Path:
        return CONFIGS / f"{self.overlays}_{source}.py"


RELATIVES = [
    Relative("mmpretrain", "mmpretrain-1/resnet18_imagenet", "imagenet"),
    Relative("mmdet3d", "mmdet3d-1/second_kitti", "kitti"),
    Relative("mmdet3d", "mmdet3d-1/pointpillars_nuscenes", "nuscenes"),
    Relative("mmpose", "mmpose-1/res50_coco", "coco"),
    Relative("mmaction", "mmaction2-1/tsn_kinetics400_video", "kinetics400"),
    Relative("mmaction", "mmaction2-1/trn_sthv1_rawframes", "sthv1"),
    Relative("mmocr", "mmocr-1/crnn_mjsynth", "mjsynth"),
    Relative("mmagic", "mmagic-1/srcnn_div2k", "DIV2K"),
    Relative("mmyolo", "mmyolo-0/rtmdet_tiny_coco", "coco"),
]


def build(folder: Path) -> None:
    """Lay out all data below `folder` as the stock configs look for it below data/."""
    build_coco(folder / "coco", COUNT, 2, size=SIZE)
    _add_keypoints(folder / "coco")
    _imagenet(folder / "imagenet")
    _kitti(folder / "kitti")
    _nuscenes(folder / "nuscenes")
    _kinetics(folder / "kinetics400")
    _something(folder / "sthv1")
    _mjsynth(folder / "mjsynth")
    _div2k(folder / "DIV2K")


def _pictures(target: Path, names: list[str], size: tuple[int, int] = SIZE) -> None:
    for name, shot in zip(names, scenes(len(names), size, random.Random(0)), strict=True):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shot.picture.save(target / name)


def _add_keypoints(coco: Path) -> None:
    rng = random.Random(0)
    for part in ("train2017", "val2017"):
        found = json.loads((coco / f"annotations/instances_{part}.json").read_text())
        persons = []
        for number, image in enumerate(found["images"], 1):
            points = [[rng.randrange(10, SIZE[0] - 10), rng.randrange(10, SIZE[1] - 10), 2] for _ in range(17)]
            persons.append({
                "id": number, "image_id": image["id"], "category_id": 1, "iscrowd": 0, "area": 4000.0,
                "bbox": [5.0, 5.0, 80.0, 60.0], "num_keypoints": 17,
                "keypoints": [number for point in points for number in point],
                "segmentation": [[5, 5, 85, 5, 85, 65, 5, 65]],
            })  # fmt: skip
        keypoints = found | {"annotations": persons, "categories": [{"id": 1, "name": "person"}]}
        (coco / f"annotations/person_keypoints_{part}.json").write_text(json.dumps(keypoints))


def _imagenet(folder: Path) -> None:
    for part in ("train", "val"):
        names = [f"n0144076{number % 3}/{part}_{number}.JPEG" for number in range(COUNT)]
        _pictures(folder / part, names)
        (folder / "meta").mkdir(exist_ok=True)
        (folder / f"meta/{part}.txt").write_text("".join(f"{name} {name[8]}\n" for name in names))


def _write_points(path: Path, count: int, features: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform([5, -30, -2, *[0] * (features - 3)], [45, 30, 0.5, *[1] * (features - 3)], (count, features))
    path.parent.mkdir(parents=True, exist_ok=True)
    points.astype(np.float32).tofile(path)


def _dump(path: Path, value: Any) -> None:
    path.write_bytes(pickle.dumps(value))


def _kitti(folder: Path) -> None:
    classes = ["Pedestrian", "Cyclist", "Car"]
    lidar2cam = [[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    for part in ("train", "val"):
        infos = []
        for number in range(COUNT):
            _write_points(folder / f"training/velodyne_reduced/{part}{number}.bin", 400, 4, number)
            boxes = [[3.0 * label, 1.6, 15.0 + number, 3.9, 1.5, 1.6, 0.3] for label in range(3)]
            instances = [
                {"bbox": [0, 0, 50, 50], "bbox_label": label, "bbox_3d": box, "bbox_label_3d": label, "difficulty": 0}
                for label, box in enumerate(boxes)
            ]
            infos.append({
                "sample_idx": number,
                "images": {"CAM2": {"img_path": f"{number}.png", "lidar2cam": lidar2cam, "cam2img": np.eye(4)}},
                "lidar_points": {"lidar_path": f"{part}{number}.bin", "num_pts_feats": 4},
                "instances": instances,
            })  # fmt: skip
        categories = {name: label for label, name in enumerate(classes)}
        _dump(folder / f"kitti_infos_{part}.pkl", {"metainfo": {"categories": categories}, "data_list": infos})
    database: dict[str, list[Any]] = {name: [] for name in classes}
    for number in range(COUNT * 3):
        name = classes[number % 3]
        path = f"kitti_gt_database/{number}_{name}.bin"
        _write_points(folder / path, 20, 4, number)
        box = np.array([20.0 + number, 20 - 2 * number, -1.5, 1.5, 1.5, 1.6, 0], np.float32)
        database[name].append({
            "name": name, "path": path, "image_idx": number, "gt_idx": 0, "box3d_lidar": box,
            "num_points_in_gt": 20, "difficulty": 0, "group_id": number,
        })  # fmt: skip
    _dump(folder / "kitti_dbinfos_train.pkl", database)


def _nuscenes(folder: Path) -> None:
    for part in ("train", "val"):
        infos = []
        for number in range(COUNT):
            _write_points(folder / f"samples/LIDAR_TOP/{part}{number}.pcd.bin", 500, 5, number)
            sweeps = []
            for sweep in range(9):
                name = f"{part}{number}_{sweep}.pcd.bin"
                _write_points(folder / "sweeps/LIDAR_TOP" / name, 100, 5, number * 10 + sweep)
                sweeps.append({
                    "lidar_points": {"lidar_path": f"sweeps/LIDAR_TOP/{name}", "lidar2sensor": np.eye(4).tolist()},
                    "timestamp": 100 + number - sweep / 20,
                })  # fmt: skip
            infos.append({
                "sample_idx": number, "token": str(number), "timestamp": 100.0 + number, "images": {},
                "ego2global": np.eye(4).tolist(),
                "lidar_points": {"lidar_path": f"{part}{number}.pcd.bin", "num_pts_feats": 5},
                "lidar_sweeps": sweeps,
                "instances": [
                    {"bbox_3d": [10.0 + label, 5, -1, 4, 2, 1.5, 0.1], "bbox_label_3d": label, "bbox_label": label,
                     "velocity": [1.0, 0.0], "num_lidar_pts": 7, "bbox_3d_isvalid": True}
                    for label in range(3)
                ],
            })  # fmt: skip
        metainfo = {"categories": {"car": 0, "truck": 1, "trailer": 2}, "version": "v1.0-mini", "dataset": "nuscenes"}
        _dump(folder / f"nuscenes_infos_{part}.pkl", {"metainfo": metainfo, "data_list": infos})


def _kinetics(folder: Path) -> None:
    import cv2

    for part in ("train", "val"):
        (folder / f"videos_{part}").mkdir(parents=True)
        lines = []
        for number in range(COUNT):
            path = folder / f"videos_{part}" / f"{number}.mp4"
            video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, SIZE)
            for shot in scenes(8, SIZE, random.Random(number)):
                video.write(np.asarray(shot.picture))
            video.release()
            lines.append(f"{number}.mp4 {number}\n")
        (folder / f"kinetics400_{part}_list_videos.txt").write_text("".join(lines))


def _something(folder: Path) -> None:
    lines = []
    for number in range(COUNT):
        _pictures(folder / f"rawframes/{number}", [f"{frame:05}.jpg" for frame in range(1, 13)])
        lines.append(f"{number} 12 {number}\n")
    for part in ("train", "val"):
        (folder / f"sthv1_{part}_list_rawframes.txt").write_text("".join(lines))


def _mjsynth(folder: Path) -> None:
    names = [f"1/{number}.jpg" for number in range(COUNT)]
    _pictures(folder, names)
    words = [{"img_path": name, "instances": [{"text": f"word{name[2]}"}]} for name in names]
    metainfo = {"dataset_type": "TextRecogDataset", "task_name": "textrecog"}
    (folder / "textrecog_train.json").write_text(json.dumps({"metainfo": metainfo, "data_list": words}))


def _div2k(folder: Path) -> None:
    names = [f"{number:04}_s001.png" for number in range(COUNT)]
    _pictures(folder / "DIV2K_train_HR_sub", names, (192, 192))
    _pictures(folder / "DIV2K_train_LR_bicubic/X4_sub", names, (48, 48))
    (folder / "meta_info_DIV2K800sub_GT.txt").write_text("".join(f"{name} (192,192,3)\n" for name in names))
