"""`ffrecord.torch`: this package's data sets, whose readers raise what the reference's do."""

from __future__ import annotations

from typing import ClassVar

import ffrfs.torch
from ffrfs.archive.reader import FileReader
from ffrfs.as_ffrecord import classes
from ffrfs.torch import DataLoader, ReaderRegistry

__all__ = ["ConcatDataset", "DataLoader", "Dataset", "ReaderRegistry", "Subset"]


class Dataset(ffrfs.torch.Dataset):
    """`ffrfs.torch.Dataset`."""

    reader_class: ClassVar[type[FileReader]] = classes.FileReader

    def __add__(self, other: ffrfs.torch.Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class Subset(ffrfs.torch.Subset, Dataset):
    """`ffrfs.torch.Subset`."""


class ConcatDataset(ffrfs.torch.ConcatDataset, Dataset):
    """`ffrfs.torch.ConcatDataset`."""
