"""Loading batches: in every way in which PyTorch runs workers, and from the middle of an epoch."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import DistributedSampler, TensorDataset

from ffrfs import ChecksumError
from ffrfs.torch import DataLoader
from tests.pytorch.datasets import Numbers, Pairs


def numbers_of(loader: Any) -> list[int]:
    return torch.cat(list(loader)).tolist()


@pytest.mark.parametrize("kind", [DataLoader, TorchDataLoader], ids=["ours", "torch"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_workers": 2, "multiprocessing_context": "fork"},
        {"num_workers": 2, "multiprocessing_context": "spawn"},
        {"num_workers": 2, "multiprocessing_context": "fork", "persistent_workers": True, "prefetch_factor": 3},
        {"num_workers": 1, "multiprocessing_context": "fork", "pin_memory": True},
        {"batch_size": 7, "drop_last": True},
    ],
    ids=["in-process", "fork", "spawn", "persistent", "pinned", "drop-last"],
)
def test_batches_are_the_data_sets(records: Path, kind: Any, options: dict[str, Any]) -> None:
    loader = kind(Numbers(records), **{"batch_size": 8, **options})
    for _ in range(2):
        assert numbers_of(loader) == list(range(98 if "drop_last" in options else 100))


def test_workers_are_forked_unless_told_otherwise(records: Path) -> None:
    loader = DataLoader(Pairs(str(records)), batch_size=50, num_workers=2)
    assert loader.multiprocessing_context.get_start_method() == "fork"
    numbers, workers = zip(*loader, strict=True)
    assert torch.cat(numbers).tolist() == list(range(100))
    assert os.getpid() not in torch.cat(workers).tolist() and len(set(torch.cat(workers).tolist())) == 2


def test_data_sets_that_are_asked_for_single_samples(records: Path) -> None:
    loader = DataLoader(TensorDataset(torch.arange(10)), batch_size=4)
    loader.set_step(1)
    assert [batch.tolist() for (batch,) in loader] == [[4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("workers", [0, 2])
def test_without_batches(records: Path, workers: int) -> None:
    loader = DataLoader(Numbers(records), batch_size=None, num_workers=workers, skippable=False)
    assert list(loader) == [[number] for number in range(100)]
    assert len(loader) == 100


@pytest.mark.parametrize("shuffle", [False, True], ids=["in-order", "shuffled"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_epoch_resumed_gives_the_rest_of_it(records: Path, shuffle: bool, workers: int, batch_size: int) -> None:
    def loader(kind: Any) -> Any:
        generator = torch.Generator().manual_seed(12345)
        return kind(Numbers(records), batch_size, shuffle, num_workers=workers, generator=generator)

    whole, resumed = loader(TorchDataLoader), loader(DataLoader)
    resumed.set_step(5)
    assert len(resumed) == len(whole) - 5
    assert [batch.tolist() for batch in resumed] == [batch.tolist() for batch in whole][5:]
    resumed.set_step(0)
    assert len(resumed) == len(whole)
    assert sorted(numbers_of(resumed)) == list(range(100))


def test_persistent_workers_resume_too(records: Path) -> None:
    loader = DataLoader(Numbers(records), 10, num_workers=2, persistent_workers=True)
    for step in (0, 7, 9, 0):
        loader.set_step(step)
        assert numbers_of(loader) == list(range(10 * step, 100))


def test_batches_that_are_skipped_are_not_read(records: Path) -> None:
    class Recording(Numbers):
        def __getitem__(self, indices: Any) -> list[int]:
            seen.extend(indices)
            return super().__getitem__(indices)

    seen: list[int] = []
    loader = DataLoader(Recording(records), 10)
    loader.set_step(8)
    assert numbers_of(loader) == seen == list(range(80, 100))


def test_steps_that_cannot_be(records: Path) -> None:
    loader = DataLoader(Numbers(records), 10)
    for step in (-1, 10):
        with pytest.raises(ValueError, match=f"step {step} is outside the epoch, which has 10 batches"):
            loader.set_step(step)
    with pytest.raises(ValueError, match="no set_step"):
        DataLoader(Numbers(records), skippable=False).set_step(1)
    with pytest.raises(ValueError, match="skippable=False"):
        DataLoader(Numbers(records), batch_size=None)


def test_a_distributed_sampler_gives_each_rank_its_part(records: Path) -> None:
    seen = []
    for rank in range(2):
        dataset = Numbers(records)
        sampler = DistributedSampler(dataset, num_replicas=2, rank=rank, shuffle=True, seed=1)
        loader = DataLoader(dataset, 8, sampler=sampler)
        sampler.set_epoch(3)
        loader.set_step(2)
        expected = list(sampler)[16:]
        assert numbers_of(loader) == expected
        seen += list(sampler)
    assert sorted(seen) == list(range(100))


def _train(rank: int, port: int, archive: str, results: str) -> None:
    """One of two processes that train a model together."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    dataset = Numbers(archive)
    loader = DataLoader(dataset, 10, sampler=DistributedSampler(dataset), num_workers=1)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), 1e-5)
    seen = []
    for batch in loader:
        seen += batch.tolist()
        optimizer.zero_grad()
        model(batch[:, None].float()).square().mean().backward()
        optimizer.step()
    torch.save((seen, [p.detach() for p in model.parameters()]), f"{results}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_distributed_training(records: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_train, (port, str(records), str(tmp_path)), nprocs=2)
    (seen0, model0), (seen1, model1) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert sorted(seen0 + seen1) == list(range(100))
    assert all(torch.equal(a, b) for a, b in zip(model0, model1, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_record_names_the_archive_and_the_record(records: Path, tmp_path: Path, workers: int) -> None:
    content = bytearray(records.read_bytes())
    content[-1] ^= 1
    damaged = tmp_path / "damaged.ffr"
    damaged.write_bytes(content)
    loader = DataLoader(Numbers(damaged), 10, num_workers=workers)
    with pytest.raises(RuntimeError if workers else ChecksumError, match=r"damaged\.ffr: record 99"):
        list(loader)
