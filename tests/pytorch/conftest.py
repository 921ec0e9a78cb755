"""Tests of `ffrfs.torch`. Without torch they are not collected; `make test-mm` runs them where it is."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from ffrfs import FileWriter, pack_folder
from tests.support.photos import build_coco

HAS_TORCH = find_spec("torch") is not None
collect_ignore_glob = [] if HAS_TORCH else ["test_*.py"]

COUNT = 100


def pytest_configure(config: pytest.Config) -> None:
    """Let torch warn, ffrfs not."""
    if HAS_TORCH:
        config.addinivalue_line("filterwarnings", "ignore")
        config.addinivalue_line("filterwarnings", "error:::ffrfs")


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive whose records are the numbers 0 to 99 as text."""
    archive = tmp_path_factory.mktemp("records") / "numbers.ffr"
    with FileWriter(archive, COUNT) as writer:
        writer.write(str(number).encode() for number in range(COUNT))
    return archive


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `images` of photographs in folders named after classes, and beside it `images.ffr`, with both a level
    further down in `train`."""
    base = tmp_path_factory.mktemp("images")
    build_coco(base / "coco", 16, 4, size=(64, 48))
    photos = sorted((base / "coco/train2017").iterdir())
    for number, photo in enumerate(photos):
        folder = base / "images/train" / ("ant", "bee", "cat")[number % 3] / ("old" if number % 2 else ".")
        folder.mkdir(parents=True, exist_ok=True)
        os.link(photo, folder / photo.name)
    (base / "images/train/bee/notes.txt").write_text("no image")
    (base / "images/train/LICENSE").write_text("in no class")
    pack_folder(base / "images", base / "images.ffr")
    return base / "images"
