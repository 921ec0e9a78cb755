"""Workers of a DataLoader: that they know the backend, and how `ffrfs_worker_init` seeds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.dataset import worker_init_fn
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader

import ffrfs.mm
from tests.mm.datasets import PHOTO, Draws, Plain, WithPipeline


def sizes(dataset: Any, **options: Any) -> list[int]:
    return [int(size) for size in DataLoader(dataset, num_workers=2, **options)]


@pytest.fixture
def size(in_data: Path) -> int:
    return (in_data / "coco" / PHOTO).stat().st_size


def test_forked_workers_know_the_backend(size: int) -> None:
    assert sizes(Plain(), multiprocessing_context="fork") == [size] * 4


def test_spawned_workers_know_the_backend_if_the_dataset_has_a_pipeline(size: int) -> None:
    assert sizes(WithPipeline(), multiprocessing_context="spawn") == [size] * 4


def test_spawned_workers_know_the_backend_by_the_worker_function(size: int) -> None:
    worker_init = FUNCTIONS.get("ffrfs_worker_init")
    assert worker_init is ffrfs.mm.worker_init
    assert sizes(Plain(), multiprocessing_context="spawn", worker_init_fn=worker_init) == [size] * 4


def test_spawned_workers_without_either_do_not(size: int) -> None:
    """What the two tests above mend; when mmengine mends it, they can go."""
    with pytest.raises(KeyError, match="ffrecord"):
        sizes(Plain(), multiprocessing_context="spawn")


def draws(worker_init: Any, seed: int) -> list[Any]:
    torch.manual_seed(seed)
    loader = DataLoader(Draws(), batch_size=None, num_workers=2, worker_init_fn=worker_init)
    return [tuple(map(float, numbers)) for numbers in loader]


def as_mmengine_seeds(worker_id: int) -> None:
    worker_init_fn(worker_id, num_workers=2, rank=1, seed=5)


def as_ffrfs_seeds(worker_id: int) -> None:
    ffrfs.mm.worker_init(worker_id, seed=5)


def test_seeds_as_mmengine_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert draws(as_ffrfs_seeds, 0) == draws(as_mmengine_seeds, 1)


def test_seeds_by_pytorch_where_no_seed_is_given() -> None:
    assert draws(ffrfs.mm.worker_init, 0) == draws(ffrfs.mm.worker_init, 0)
    assert draws(ffrfs.mm.worker_init, 0) != draws(ffrfs.mm.worker_init, 1)
    assert len(set(draws(ffrfs.mm.worker_init, 0))) == 4
