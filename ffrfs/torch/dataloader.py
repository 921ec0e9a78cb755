"""PyTorch's DataLoader, which can begin within an epoch, as HFAiLab/ffrecord's."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sized
from typing import Any, cast

from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from ffrfs.torch.dataset import Dataset

__all__ = ["DataLoader"]


class DataLoader(TorchDataLoader):
    """PyTorch's DataLoader with `set_step`, for batched data sets and all others.

    Args: as PyTorch's, by name what comes after `generator`. skippable, whether `set_step` works, which needs batches;
    False for frameworks that put samplers of their own in place of the loader's. Workers are forked, as with the
    reference, unless multiprocessing_context says otherwise.
    Source: HFAiLab/ffrecord torch/dataloader.py.
    """

    def __init__(
        self,
        dataset: TorchDataset,
        batch_size: int | None = 1,
        shuffle: bool | None = False,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Any = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Any = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        skippable: bool = True,
        **others: Any,
    ) -> None:
        if num_workers and multiprocessing_context is None:
            multiprocessing_context = "fork"
        self.skippable = skippable
        super().__init__(
            dataset,
            batch_size=batch_size,
            shuffle=shuffle,
            sampler=sampler,
            batch_sampler=batch_sampler,
            num_workers=num_workers,
            collate_fn=collate_fn,
            pin_memory=pin_memory,
            drop_last=drop_last,
            timeout=timeout,
            worker_init_fn=worker_init_fn,
            multiprocessing_context=multiprocessing_context,
            generator=generator,
            **others,
        )
        if self.batch_sampler is None:
            if skippable:
                raise ValueError("a loader without batches cannot skip any: give it skippable=False")
            if isinstance(dataset, Dataset):
                self._replace("sampler", _Singly(self.sampler))
        elif skippable:
            self._replace("batch_sampler", _SkippingSampler(self.batch_sampler))

    def set_step(self, step: int) -> None:
        """Begin each epoch at this batch from now on, without reading those before it; 0 for whole epochs.

        Raises: ValueError for a step outside the epoch, or if the loader is not skippable.
        """
        if not self.skippable:
            raise ValueError("this loader was made with skippable=False, so it has no set_step")
        batches = len(self.batch_sampler.sampler)
        if not 0 <= step < max(batches, 1):
            raise ValueError(f"step {step} is outside the epoch, which has {batches} batches")
        self.batch_sampler.step = step

    def _replace(self, name: str, sampler: Any) -> None:
        """PyTorch refuses to have these set once the loader is made."""
        object.__setattr__(self, name, sampler)


class _SkippingSampler(Sampler):
    """The batches of another sampler from the one number `step` on."""

    def __init__(self, sampler: Iterable[list[int]]) -> None:
        self.sampler, self.step = sampler, 0

    def __iter__(self) -> Iterator[list[int]]:
        return itertools.islice(self.sampler, self.step, None)

    def __len__(self) -> int:
        return len(cast(Sized, self.sampler)) - self.step

    def __getattr__(self, name: str) -> Any:
        """What frameworks look for on a batch sampler: batch_size, drop_last, set_epoch."""
        if name in ("sampler", "step"):  # not set yet
            raise AttributeError(name)
        return getattr(self.sampler, name)


class _Singly(Sampler):
    """Numbers as lists of one, for a batched data set that is read without batches."""

    def __init__(self, sampler: Iterable[int]) -> None:
        self.sampler = sampler

    def __iter__(self) -> Iterator[list[int]]:
        return ([index] for index in self.sampler)

    def __len__(self) -> int:
        return len(cast(Sized, self.sampler))
