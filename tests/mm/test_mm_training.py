"""The frameworks' own training scripts on their smallest models: equal losses wherever the data comes from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mm.conftest import ENVIRONMENT, Layouts
from tests.mm.frameworks import GENERATIONS, Framework

FRAMEWORKS = GENERATIONS[ENVIRONMENT]
PIPELINES = {"prefetch": "train_dataloader.dataset.dataset.pipeline"}


def train(framework: Framework, source: str, layouts: Layouts, folder: Path) -> list[dict[str, float]]:
    """Run tools/train.py. Returns: for each iteration the losses, and for the evaluation its figures."""
    pipeline = PIPELINES.get(source, "train_dataloader.dataset.pipeline")
    options = [f"{name.replace('PIPELINE', pipeline)}={value}" for name, value in framework.shrink.items()]
    seed = [] if ENVIRONMENT == "new" else ["--seed", "0"]
    command = [
        *(sys.executable, framework.home / "tools/train.py", framework.config(source, folder)),
        *("--work-dir", folder / "work", *seed, "--cfg-options", *options),
    ]
    ran = subprocess.run(
        command, cwd=layouts.of(source), env=os.environ | {"PYTHONWARNINGS": "ignore"}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    logs = [path for pattern in ("*/vis_data/scalars.json", "*.log.json") for path in (folder / "work").glob(pattern)]
    steps = [json.loads(line) for line in logs[0].read_text().splitlines()]
    return [
        {name: value for name, value in step.items() if "loss" in name or name in ("mIoU", "aAcc", "mAcc")}
        for step in steps
    ]


@pytest.fixture(scope="module")
def from_disk(layouts: Layouts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, float]]]:
    """What training from the disk gives, by package."""
    return {
        package: train(framework, "disk", layouts, tmp_path_factory.mktemp(package))
        for package, framework in FRAMEWORKS.items()
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("package", "source"),
    [(package, source) for package in FRAMEWORKS for source in FRAMEWORKS[package].sources if source != "disk"],
)
def test_losses_are_those_from_disk(
    from_disk: dict[str, list[dict[str, float]]], layouts: Layouts, tmp_path: Path, package: str, source: str
) -> None:
    steps = train(FRAMEWORKS[package], source, layouts, tmp_path)
    assert steps == from_disk[package]
    assert sum("loss" in step for step in steps) >= 2
    if package == "mmseg":
        assert "mIoU" in steps[-1]
