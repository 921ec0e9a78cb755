"""The data: folders of incompressible files of the sizes that image data sets have. Built once, the same every time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from rich.progress import track

JPEG_START, JPEG_END = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", b"\xff\xd9"
SMALLEST_BYTES = 100
SIZE_SPREAD = 0.35  # standard deviation of the logarithm of the sizes, about COCO's


BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Tree:
    """A folder of `files` files of `mean_bytes` on average, at most `per_folder` in one subfolder."""

    name: str
    files: int
    mean_bytes: int
    per_folder: int
    root: Path

    @cached_property
    def paths(self) -> list[str]:
        """All files below `root`, in name order."""
        return [f"{n // self.per_folder:04d}/{n:012d}.jpg" for n in range(self.files)]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The size in bytes of each file; drawn from a log-normal distribution, the same every time."""
        spread = np.random.default_rng(self.files).lognormal(-(SIZE_SPREAD**2) / 2, SIZE_SPREAD, self.files)
        return dict(zip(self.paths, (self.mean_bytes * spread).astype(int).clip(SMALLEST_BYTES).tolist(), strict=True))

    def shuffled(self, count: int, seed: int = 2017) -> dict[str, int]:
        """The sizes of `count` different files in the order of a training run."""
        chosen = np.random.default_rng(seed).permutation(self.files)[:count]
        return {self.paths[n]: self.sizes[self.paths[n]] for n in chosen}

    def build(self) -> Tree:
        """Write the files unless a complete tree is there; returns self."""
        if self.root.exists():
            return self
        unfinished = self.root.with_name(self.root.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        rng = np.random.default_rng(self.files)
        for folder in {path.partition("/")[0] for path in self.paths}:
            (unfinished / folder).mkdir(parents=True)
        for path, size_bytes in track(self.sizes.items(), f"writing {self.name}"):
            noise = rng.bytes(size_bytes - len(JPEG_START) - len(JPEG_END))
            (unfinished / path).write_bytes(JPEG_START + noise + JPEG_END)
        unfinished.rename(self.root)
        return self


@dataclass(frozen=True)
class LargeFile(Tree):
    """A folder with one file of `mean_bytes`, all of it noise."""

    def build(self) -> LargeFile:
        """Write the file unless it is there; returns self."""
        if not self.root.exists():
            unfinished = self.root.with_name(self.root.name + ".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            path = unfinished / self.paths[0]
            path.parent.mkdir(parents=True)
            rng = np.random.default_rng(1)
            with path.open("wb") as stream:
                for begin in range(0, self.mean_bytes, BLOCK_BYTES):
                    stream.write(rng.bytes(min(BLOCK_BYTES, self.mean_bytes - begin)))
            unfinished.rename(self.root)
        return self
