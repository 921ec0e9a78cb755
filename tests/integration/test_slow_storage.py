"""Slow storage, on which archives are measured and tested: it must be a true mirror, and end as a mount should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

import ffrfs
from benchmarks.systems import unmount
from tests.support.processes import wait_until

BIG = os.urandom(3_000_000)  # several requests


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "below").mkdir(parents=True)
    (folder / "big").write_bytes(BIG)
    (folder / "below" / "small").write_bytes(b"small")
    (folder / "below" / "empty").touch()
    return folder


@contextmanager
def slow_storage(source, mountpoint):
    """Mirror the folder with 5 ms a read; yields the process."""
    mountpoint.mkdir()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.slowfs", source, mountpoint])
    try:
        wait_until(lambda: os.path.ismount(mountpoint) or process.poll() is not None, "slow storage is mounted")
        yield process
    finally:
        unmount(mountpoint)
        process.kill()
        process.wait()


def test_mirrors_the_folder(fuse, source, tmp_path):
    with slow_storage(source, tmp_path / "slow"):
        compared = subprocess.run(["diff", "-r", source, tmp_path / "slow"], capture_output=True, text=True)
        with (tmp_path / "slow" / "big").open("rb") as file, ThreadPoolExecutor(8) as threads:
            places = range(0, len(BIG), 100_000)
            pieces = list(threads.map(lambda place: os.pread(file.fileno(), 100_000, place), places))
    assert (compared.returncode, compared.stdout) == (0, "")
    assert b"".join(pieces) == BIG


def test_an_archive_on_it_reads_as_elsewhere(fuse, source, tmp_path):
    ffrfs.pack_folder(source, tmp_path / "archive.ffr")
    (tmp_path / "archives").mkdir()
    (tmp_path / "archive.ffr").rename(tmp_path / "archives" / "archive.ffr")
    with (
        slow_storage(tmp_path / "archives", tmp_path / "slow"),
        ffrfs.PackedFolder(tmp_path / "slow" / "archive.ffr") as packed,
    ):
        big, small = packed.read(["big", "below/small"])
    assert np.array_equal(big, np.frombuffer(BIG, np.uint8))
    assert bytes(small) == b"small"


@pytest.mark.parametrize("how", ["signal", "umount"])
def test_ends_and_leaves_nothing(fuse, source, tmp_path, how):
    with slow_storage(source, tmp_path / "slow") as process:
        if how == "signal":
            process.send_signal(signal.SIGTERM)
        else:
            unmount(tmp_path / "slow")
        assert process.wait(20) == 0
        assert not os.path.ismount(tmp_path / "slow")
