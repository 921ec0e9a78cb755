"""PrefetchSampler: changes no order, announces in time, for each rank its own."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, RandomSampler, SequentialSampler

from ffrfs.torch import DataLoader as ResumableLoader
from ffrfs.torch import ImageFolder, PrefetchSampler
from tests.pytorch.datasets import Numbers
from tests.support.mounts import mounted


class Announced:
    """A data set that notes what it is told."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __len__(self) -> int:
        return 100

    def prefetch(self, numbers: list[int]) -> None:
        self.numbers += numbers


def shuffled(seed: int = 0) -> RandomSampler:
    return RandomSampler(range(100), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ahead", [1, 7, 100, 1000])
def test_the_order_is_the_samplers(ahead: int) -> None:
    dataset = Announced()
    sampler = PrefetchSampler(shuffled(), dataset, ahead)
    assert list(sampler) == dataset.numbers == list(shuffled())
    assert len(sampler) == 100


def test_between_once_and_twice_as_many_are_announced_before_they_are_drawn() -> None:
    dataset = Announced()
    for drawn, number in enumerate(PrefetchSampler(shuffled(), dataset, 10), 1):
        assert dataset.numbers[drawn - 1] == number
        assert drawn + 10 <= len(dataset.numbers) <= drawn + 19 or len(dataset.numbers) == 100


def test_batches_are_announced_whole() -> None:
    dataset = Announced()
    batches = BatchSampler(shuffled(), 8, drop_last=False)
    sampler = PrefetchSampler(batches, dataset, 20)
    first = next(iter(sampler))
    assert len(first) == 8 and len(dataset.numbers) == 48
    assert (sampler.batch_size, len(sampler)) == (8, 13)


def test_each_rank_announces_what_it_will_read() -> None:
    parts = []
    for rank in range(2):
        dataset = Announced()
        sampler = PrefetchSampler(DistributedSampler(range(100), 2, rank, seed=5), dataset, 16)
        for epoch in range(2):
            dataset.numbers.clear()
            sampler.set_epoch(epoch)
            assert list(sampler) == dataset.numbers
        parts += dataset.numbers
    assert sorted(parts) == list(range(100))


def test_a_function_may_take_the_announcements() -> None:
    numbers: list[int] = []
    assert list(PrefetchSampler(SequentialSampler(range(5)), numbers.extend, 2)) == numbers == [0, 1, 2, 3, 4]
    assert list(PrefetchSampler([], numbers.extend)) == []
    with pytest.raises(ValueError, match="not 0"):
        PrefetchSampler([], numbers.extend, 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_with_it(records: Path, workers: int) -> None:
    dataset = Numbers(records)
    loader = ResumableLoader(dataset, 10, sampler=PrefetchSampler(shuffled(), dataset, 32), num_workers=workers)
    loader.set_step(4)
    assert torch.cat(list(loader)).tolist() == list(shuffled())[40:]


def test_a_mount_reads_ahead_what_is_announced(fuse: None, images: Path, tmp_path: Path) -> None:
    archive = images.with_suffix(".ffr")
    with mounted(archive, tmp_path) as mount:
        dataset = ImageFolder(mount.path / "train", transform=lambda image: image.size[0])
        sampler = PrefetchSampler(SequentialSampler(dataset), dataset)
        assert torch.cat([widths for widths, _ in DataLoader(dataset, 4, sampler=sampler)]).tolist() == [64] * 16
        stats = (mount.path / ".ffrfs/metrics").read_text()
    announced = next(line for line in stats.splitlines() if "hint" in line and not line.startswith("#"))
    assert int(announced.split()[-1]) > 0, stats


def test_it_pickles() -> None:
    sampler = pickle.loads(pickle.dumps(PrefetchSampler(SequentialSampler(range(3)), len, 2)))
    assert (len(sampler), sampler.ahead) == (3, 2)
