"""The environment that these tests run in, a small COCO and ADE20K, and archives of them.

scripts/mm-env names the environment in FFRFS_MM; without it, no framework need be there. Files of tests that need
something the environment does not have are not collected; `test_mm_environment` sees to it that it has what it should.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ffrfs.archive.packing import pack_folder
from tests.support.photos import build_ade20k, build_coco

ENVIRONMENT = os.environ.get("FFRFS_MM", "none")
FRAMEWORK = {"none": "", "lite-new": "mmengine", "new": "mmengine"}.get(ENVIRONMENT, "mmcv")

collect_ignore = []
if not FRAMEWORK:
    collect_ignore += ["test_mm_file_client.py"]
if FRAMEWORK != "mmengine":
    collect_ignore += ["test_mm_fileio.py"]
if ENVIRONMENT not in ("old", "new"):
    collect_ignore += ["test_mm_loading.py", "test_mm_training.py", "test_mm_configs.py"]


def pytest_configure(config: pytest.Config) -> None:
    """Let the frameworks warn, ffrfs not. The last filter added is the first that is asked."""
    if ENVIRONMENT != "none":
        config.addinivalue_line("filterwarnings", "ignore")
        config.addinivalue_line("filterwarnings", "error:::ffrfs")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with coco/, ade/, and an archive of each: coco.ffr and ade.ffr."""
    folder = tmp_path_factory.mktemp("data")
    build_coco(folder / "coco", 16, 4, size=(320, 240))
    build_ade20k(folder / "ade", 16, 4, size=(320, 240))
    for name in ("coco", "ade"):
        pack_folder(folder / name, folder / f"{name}.ffr")
    return folder


@pytest.fixture
def in_data(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the current directory, so that relative paths are as configs have them."""
    monkeypatch.chdir(data)
    return data
