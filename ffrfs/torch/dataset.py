"""Data sets that are asked for a whole batch at once, as HFAiLab/ffrecord's.

A DataLoader of PyTorch 2 finds `__getitems__` and hands over the numbers of a batch, so these work with it too. They
survive fork, spawn and pickling, since readers do.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from torch.utils.data import Dataset as TorchDataset

from ffrfs.archive.reader import FileReader
from ffrfs.archive.shards import ArchivePath

__all__ = ["ConcatDataset", "Dataset", "ReaderRegistry", "Subset"]


class ReaderRegistry:
    """Something that has readers as attributes, of its own or in other registries."""

    def ffreaders(self) -> list[FileReader]:
        """All readers: first its own, then those of the registries that it has, in the order in which they were set."""
        values = list(vars(self).values())
        readers = [value for value in values if isinstance(value, FileReader)]
        for registry in values:
            if isinstance(registry, ReaderRegistry):
                readers += registry.ffreaders()
        return readers


class Dataset(TorchDataset, ReaderRegistry):
    """A data set over the records of an archive: `dataset[[3, 0, 7]]` is the list of these three samples.

    Args: fnames, check_data, as for `FileReader`. Either override `process`, or `__init__`, `__len__` and
    `__getitem__` together. Attributes: fnames; reader.
    Source: HFAiLab/ffrecord torch/dataset.py.
    """

    reader_class: ClassVar[type[FileReader]] = FileReader

    def __init__(self, fnames: ArchivePath | Sequence[ArchivePath], check_data: bool = True) -> None:
        self.fnames = fnames
        self.reader = self.reader_class(fnames, check_data)

    def __len__(self) -> int:
        return self.reader.n

    def __getitem__(self, indices: Sequence[int]) -> list[Any]:
        if not isinstance(indices, (list, tuple)):
            raise TypeError(f"this data set takes a list of numbers, as in dataset[[{indices}]]")
        return self.process(indices, self.reader.read(indices))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """What PyTorch's own DataLoader asks for a batch."""
        return self[list(indices)]

    def process(self, indices: Sequence[int], data: list[Any]) -> list[Any]:
        """Turn the bytes of a batch into its samples; to be overridden.

        Args: indices, the samples' numbers; data, the bytes of each, uint8 arrays of shape (length,).
        Returns: the samples, which the loader's collate_fn gets.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither process nor __getitem__")

    def prefetch(self, indices: Sequence[int]) -> None:
        """Have the kernel read these samples' records ahead. Does nothing where samples are not records one by one."""
        readers = self.ffreaders()
        if len(readers) == 1 and readers[0].n == len(self):
            readers[0].prefetch(indices)

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class Subset(Dataset):
    """Some samples of a batched data set.

    Args: dataset; indices, the numbers there of the samples, in the order that they have here.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, indices: Sequence[int]) -> list[Any]:
        return self.dataset[[self.indices[index] for index in indices]]

    def prefetch(self, indices: Sequence[int]) -> None:
        """As `Dataset.prefetch`."""
        self.dataset.prefetch([self.indices[index] for index in indices])


class ConcatDataset(Dataset):
    """Batched data sets one behind the other; a batch asks each of them once.

    Args: datasets, at least one. Attributes: datasets; cumulative_sizes, where each ends.
    """

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("a ConcatDataset is made of at least one data set")
        wrong = [dataset for dataset in self.datasets if not isinstance(dataset, Dataset)]
        if wrong:
            raise TypeError(f"a {type(wrong[0]).__name__} is asked for single samples, and these for batches")
        self.cumulative_sizes = list(itertools.accumulate(map(len, self.datasets)))

    def ffreaders(self) -> list[FileReader]:
        """The readers of all data sets."""
        return [reader for dataset in self.datasets for reader in dataset.ffreaders()]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, indices: Sequence[int]) -> list[Any]:
        samples: list[Any] = [None] * len(indices)
        for number, (positions, inner) in self._shares(indices).items():
            for position, sample in zip(positions, self.datasets[number][inner], strict=True):
                samples[position] = sample
        return samples

    def prefetch(self, indices: Sequence[int]) -> None:
        """As `Dataset.prefetch`."""
        for number, (_, inner) in self._shares(indices).items():
            self.datasets[number].prefetch(inner)

    def _shares(self, indices: Sequence[int]) -> dict[int, tuple[list[int], list[int]]]:
        """For each data set that a batch concerns: positions in the batch, and the samples' numbers there."""
        shares: dict[int, tuple[list[int], list[int]]] = {}
        for position, index in enumerate(indices):
            if not -len(self) <= index < len(self):
                raise IndexError(f"sample {index} is outside the data set, which has {len(self)}")
            index = index % len(self)
            number = bisect.bisect_right(self.cumulative_sizes, index)
            positions, inner = shares.setdefault(number, ([], []))
            positions.append(position)
            inner.append(index - (self.cumulative_sizes[number - 1] if number else 0))
        return dict(sorted(shares.items()))
