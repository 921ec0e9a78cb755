"""What tests of several kinds need."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.support")

from tests.support.archives import Directory, write_archive  # noqa: E402
from tests.support.fuse import require_fuse, require_root  # noqa: E402
from tests.support.mounts import Mounted, mounted  # noqa: E402


@pytest.fixture
def fuse() -> None:
    """For tests that mount."""
    require_fuse()


@pytest.fixture
def root() -> None:
    """For tests that act as several users."""
    require_root()


@pytest.fixture(params=[1, 4], ids=["1-worker", "4-workers"])
def workers(request: pytest.FixtureRequest) -> int:
    """Both shapes of a mount: one worker, which is a process of its own too, and several."""
    return int(request.param)


@pytest.fixture
def mount(fuse: None, workers: int, tmp_path: Path) -> Iterator[Callable[..., Mounted]]:
    """A function that mounts an archive, or a tree given as nested dicts, and returns a `Mounted`.

    What it mounted ends with the test, and must end well.
    """
    with contextlib.ExitStack() as mounts:

        def start(source: Path | Directory, *options: str, **arguments: Any) -> Mounted:
            folder = tmp_path / f"mount-{len(list(tmp_path.glob('mount-*')))}"
            folder.mkdir()
            archive = source if isinstance(source, Path) else write_archive(folder / "archive.ffr", source)
            return mounts.enter_context(mounted(archive, folder, f"workers={workers}", *options, **arguments))

        yield start


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
