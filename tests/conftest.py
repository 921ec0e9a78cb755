"""What tests of several kinds need."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.support")

from tests.support.archives import Directory, write_archive, write_tree  # noqa: E402
from tests.support.fuse import require_fuse, require_root  # noqa: E402
from tests.support.mounts import MODULE_HANG_SECONDS, Mounted, mounted  # noqa: E402
from tests.support.trees import SAMPLE  # noqa: E402


@pytest.fixture(scope="session")
def fuse() -> None:
    """For tests that mount."""
    require_fuse()


@pytest.fixture
def root() -> None:
    """For tests that act as several users."""
    require_root()


@pytest.fixture(scope="module", params=[1, 4], ids=["1-worker", "4-workers"])
def workers(request: pytest.FixtureRequest) -> int:
    """Both shapes of a mount: one worker, which is a process of its own too, and several."""
    return int(request.param)


@contextlib.contextmanager
def _mounting(folder: Path, workers: int) -> Iterator[Callable[..., Mounted]]:
    with contextlib.ExitStack() as mounts:

        def start(source: Path | str | Directory, *options: str, **arguments: Any) -> Mounted:
            base = folder / f"mount-{len(list(folder.glob('mount-*')))}"
            base.mkdir()
            archive = source if isinstance(source, (Path, str)) else write_archive(base / "archive.ffr", source)
            return mounts.enter_context(mounted(archive, base, f"workers={workers}", *options, **arguments))

        yield start


@pytest.fixture
def mount(fuse: None, workers: int, tmp_path: Path) -> Iterator[Callable[..., Mounted]]:
    """A function that mounts an archive, or a tree given as nested dicts, and returns a `Mounted`.

    What it mounted ends with the test, and must end well.
    """
    with _mounting(tmp_path, workers) as start:
        yield start


@pytest.fixture(scope="module")
def module_mount(
    fuse: None, workers: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Mounted]]:
    """The same for mounts that all tests of a module look at."""
    with _mounting(tmp_path_factory.mktemp("module"), workers) as start:
        yield start


@dataclass(frozen=True)
class Sample:
    """A tree as a real folder, packed, and mounted: three times the same."""

    folder: Path
    archive: Path
    mount: Mounted

    def pairs(self) -> Iterator[tuple[Path, Path]]:
        """Each file and directory twice: on disk, and in the mount."""
        for path in sorted(self.folder.rglob("*")):
            yield path, self.mount.path / path.relative_to(self.folder)

    def file_pairs(self) -> Iterator[tuple[Path, Path]]:
        """Each file twice."""
        return (pair for pair in self.pairs() if pair[0].is_file())


@pytest.fixture(scope="module")
def sample(fuse: None, workers: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample tree, for tests that only look at it."""
    base = tmp_path_factory.mktemp("sample")
    folder, archive = write_tree(base / "folder", SAMPLE), write_archive(base / "sample.ffr", SAMPLE)
    with mounted(archive, base, f"workers={workers}", hang_seconds=MODULE_HANG_SECONDS) as mount:
        yield Sample(folder, archive, mount)


@pytest.fixture
def small_disk(tmp_path):
    """An empty file system of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this system mounts no tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)
