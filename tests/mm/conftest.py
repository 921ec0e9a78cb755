"""The environment that these tests run in, a small COCO and ADE20K, and archives of them.

scripts/mm-env names the environment in FFRFS_MM; without it, no framework need be there. Files of tests that need
something the environment does not have are not collected; `test_mm_environment` sees to it that it has what it should.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ffrfs import pack_folder
from tests.support.photos import build_ade20k, build_coco

ENVIRONMENT = os.environ.get("FFRFS_MM", "none")
FRAMEWORK = {"none": "", "lite-new": "mmengine", "new": "mmengine", "relatives": "mmengine"}.get(ENVIRONMENT, "mmcv")

if ENVIRONMENT == "relatives":  # before anything imports torch and numba
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_DISABLE_JIT": "1"}  # compiling takes a minute in every worker

collect_ignore = []
if not FRAMEWORK:
    collect_ignore += ["test_mm_file_client.py", "test_mm_foreign.py"]
if FRAMEWORK != "mmengine":
    collect_ignore += ["test_mm_fileio.py", "test_mm_uri.py"]
if ENVIRONMENT not in ("old", "new"):
    collect_ignore += ["test_mm_loading.py", "test_mm_training.py", "test_mm_killed_loaders.py"]
if ENVIRONMENT != "new":
    collect_ignore += ["test_mm_workers.py", "test_mm_docs.py", "test_mm_hooks.py"]
if ENVIRONMENT != "relatives":
    collect_ignore += ["test_mm_relatives.py"]


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


class Layouts:
    """Folders to train in, laid out as the stock configs want it, each with only what its way of reading needs.

    disk: data/coco and data/ade/ADEChallengeData2016 are folders; mount: they are mounted archives; packed: there are
    only data/coco.ffr, data/ade20k.ffr and, for configs that keep them outside, data/coco/annotations.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self._folder, self._data = folder, data
        self._mounts = ExitStack()
        for name in ("disk", "mount", "packed"):
            (folder / name / "data/ade").mkdir(parents=True)
        (folder / "disk/data/coco").symlink_to(data / "coco")
        (folder / "disk/data/ade/ADEChallengeData2016").symlink_to(data / "ade")
        (folder / "packed/data/coco.ffr").symlink_to(data / "coco.ffr")
        (folder / "packed/data/ade20k.ffr").symlink_to(data / "ade.ffr")
        (folder / "packed/data/coco").mkdir()
        (folder / "packed/data/coco/annotations").symlink_to(data / "coco/annotations")

    def of(self, source: str) -> Path:
        """The folder to be in for reading from this source."""
        if source == "mount" and not (self._folder / "mount/data/coco").exists():
            self._mounts.enter_context(mounted(self._data / "coco.ffr", self._folder / "mount/data/coco"))
            ade = self._folder / "mount/data/ade/ADEChallengeData2016"
            self._mounts.enter_context(mounted(self._data / "ade.ffr", ade))
        return self._folder / (source if source in ("disk", "mount") else "packed")

    def unmount(self) -> None:
        """Unmount what was mounted."""
        self._mounts.close()


@contextmanager
def mounted(archive: Path, target: Path) -> Iterator[None]:
    """An archive mounted by the command line, as users do it."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        assert "FFRFS_REQUIRE_FUSE" not in os.environ, "FFRFS_REQUIRE_FUSE is set, but /dev/fuse cannot be opened"
        pytest.skip("/dev/fuse cannot be opened")
    target.mkdir(parents=True)
    ffrfs = [sys.executable, "-m", "ffrfs"]
    subprocess.run([*ffrfs, "mount", archive, target], check=True)
    try:
        yield
    finally:
        subprocess.run([*ffrfs, "umount", target], check=True)


@pytest.fixture(scope="session")
def layouts(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layouts]:
    """The folders to train in."""
    made = Layouts(tmp_path_factory.mktemp("layouts"), data)
    yield made
    made.unmount()
