"""Data sets at the top of a module, where spawned workers find them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ffrfs.torch import Dataset


class Numbers(Dataset):
    """The records of `numbers.ffr` as integers, by `process`."""

    def process(self, indices: Sequence[int], data: list[Any]) -> list[int]:
        return [int(content.tobytes()) for content in data]


class Pairs(Dataset):
    """The usual form of public scripts: everything overridden."""

    def __init__(self, fname: str) -> None:
        self.reader = self.reader_class(fname, check_data=True)

    def __len__(self) -> int:
        return self.reader.n

    def __getitem__(self, indices: list[int]) -> list[tuple[int, int]]:
        assert isinstance(indices, list)
        return [(int(content.tobytes()), os.getpid()) for content in self.reader.read(indices)]


def width(image: Any) -> int:
    """A transform that leaves one number of an image."""
    return int(image.size[0])
