"""PrefetchHook in mmengine's own loops: the same training, every file announced before it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import Dataset

import ffrfs.mm
from ffrfs.mm import FFRecordClient
from ffrfs.mm.hooks import Announcer, PrefetchHook

COUNT = 16


class Photos(Dataset):
    """The sizes of photographs, read from the archive by the name that a stock config would use."""

    backend_args: dict[str, Any] | None

    def __init__(self, backend_args: dict[str, Any] | None) -> None:
        self.backend_args = backend_args

    def __len__(self) -> int:
        return COUNT

    def get_data_info(self, index: int) -> dict[str, str]:
        return {"img_path": f"data/coco/train2017/{index + 1:012d}.jpg"}

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"inputs": torch.tensor([float(index)])}


class Model(BaseModel):
    """One weight; notes what it is trained and tested with."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.seen: list[int] = []

    def forward(self, inputs: torch.Tensor, mode: str = "tensor") -> Any:
        self.seen += inputs.flatten().int().tolist()
        return {"loss": (inputs * self.weight).mean()} if mode == "loss" else [{"seen": inputs}]


@pytest.fixture
def backend_args(in_data: Path) -> dict[str, Any]:
    return {"backend": "ffrecord", "fname": str(in_data / "coco.ffr"), "path_prefix": "data/coco"}


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the photographs that were announced to an archive."""
    numbers: list[int] = []
    announce = FFRecordClient.announce

    def record(self: FFRecordClient, paths: list[str]) -> list[str]:
        others = announce(self, paths)
        numbers.extend(int(Path(path).stem) - 1 for path in paths if path not in others)
        return others

    monkeypatch.setattr(FFRecordClient, "announce", record)
    return numbers


def train(folder: Path, dataset: Photos, loop: str, workers: int, hooks: list[Any]) -> list[int]:
    """Two epochs, or as many iterations. Returns: the samples that the model saw."""
    sampler = {"epochs": "DefaultSampler", "iterations": "InfiniteSampler"}[loop]
    length = {"by_epoch": True, "max_epochs": 2} if loop == "epochs" else {"by_epoch": False, "max_iters": 8}
    model = Model()
    runner = Runner(
        model,
        str(folder),
        train_dataloader={
            "dataset": dataset,
            "sampler": {"type": sampler, "shuffle": True},
            "batch_size": 4,
            "num_workers": workers,
            "collate_fn": {"type": "default_collate"},
        },
        train_cfg=length,
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.0}},
        custom_hooks=hooks,
        default_hooks={"logger": None, "checkpoint": None},
        randomness={"seed": 3},
        experiment_name=f"{loop}{workers}{len(hooks)}",
    )
    runner.train()
    return model.seen


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("loop", ["epochs", "iterations"])
def test_the_training_is_the_same_and_its_files_are_announced(
    backend_args: dict[str, Any], announced: list[int], tmp_path: Path, loop: str, workers: int
) -> None:
    dataset = Photos(backend_args)
    expected = train(tmp_path / "without", dataset, loop, workers, [])
    assert announced == []
    seen = train(tmp_path / "with", dataset, loop, workers, [{"type": "PrefetchHook", "ahead": 6}])
    assert seen == expected and len(seen) == 32
    assert announced[:32] == seen
    assert len(announced) == 32 or loop == "iterations"


def test_validation_and_test_are_announced_too(
    backend_args: dict[str, Any], announced: list[int], tmp_path: Path
) -> None:
    loader = {
        "dataset": Photos(backend_args),
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "batch_size": 8,
        "collate_fn": {"type": "default_collate"},
    }
    for part in ("val", "test"):
        arguments = {f"{part}_dataloader": loader, f"{part}_cfg": {}, f"{part}_evaluator": [{"type": "DumpResults"}]}
        arguments[f"{part}_evaluator"][0]["out_file_path"] = str(tmp_path / f"{part}.pkl")
        runner = Runner(
            Model(),
            str(tmp_path),
            custom_hooks=[PrefetchHook()],
            default_hooks={"logger": None, "checkpoint": None},
            experiment_name=part,
            **arguments,
        )
        announced.clear()
        getattr(runner, part)()
        assert announced == list(range(COUNT))


def test_files_outside_every_archive_go_to_the_mount(in_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[str] = []
    monkeypatch.setattr("ffrfs.mm.hooks.prefetch", paths.extend)
    Announcer(Photos(None)).prefetch([3, 0])
    assert paths == ["data/coco/train2017/000000000004.jpg", "data/coco/train2017/000000000001.jpg"]
    wrapped = ffrfs.mm.PrefetchDataset(Photos(None))
    Announcer(wrapped).prefetch([1])
    assert paths[2:] == ["data/coco/train2017/000000000002.jpg"]


def test_it_is_known_by_its_name() -> None:
    assert HOOKS.get("PrefetchHook") is PrefetchHook
