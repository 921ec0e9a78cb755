"""Data sets for workers. Nothing imported here imports ffrfs, so unpickling them does not tell a worker of it."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine import fileio
from mmengine.dataset import Compose
from torch.utils.data import Dataset

ARGUMENTS = {"backend": "ffrecord", "fname": "coco.ffr"}
PHOTO = "train2017/000000000001.jpg"


class Plain(Dataset):
    """A data set of one's own, which names the backend only in a dictionary."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return len(fileio.get(PHOTO, ARGUMENTS))


class WithPipeline(Plain):
    """The same, with a pipeline, as mmengine's own data sets have one."""

    def __init__(self) -> None:
        self.pipeline = Compose([])


class Draws(Dataset):
    """Random numbers from all three generators."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(1))
