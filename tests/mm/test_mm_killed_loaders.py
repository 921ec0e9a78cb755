"""PyTorch's DataLoader with 16 workers, killed while they read: nobody hangs, and the mount serves the next one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.mm.conftest import Layouts
from tests.mm.endless import WORKERS, WRONG
from tests.support.processes import has_ended, parent, send, wait_until

END_SECONDS = 30.0  # PyTorch's workers look every 5 s whether their parent lives
CHECKOUT = Path(__file__).parents[2]


def children(pid: int) -> list[int]:
    """The living children of a process."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [child for child in pids if not has_ended(child) and parent(child) == pid]


@pytest.mark.timeout(900)
def test_loaders_killed_in_mid_read(data: Path, layouts: Layouts) -> None:
    mount = layouts.of("mount") / "data/coco"
    numbers = random.Random(1)
    arguments = [sys.executable, "-m", "tests.mm.endless", data / "coco", mount, data / "coco.ffr"]
    for whom in ["a worker", "the parent", "all"] * 2:
        with subprocess.Popen(arguments, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as loader:
            assert loader.stdout is not None
            assert loader.stderr is not None
            assert loader.stdout.readline() == b"batch\n", loader.stderr.read()
            wait_until(lambda pid=loader.pid: len(children(pid)) >= WORKERS, "all workers run")
            time.sleep(numbers.random())
            workers = children(loader.pid)
            victims = {"a worker": [numbers.choice(workers)], "the parent": [loader.pid], "all": [*workers, loader.pid]}
            send(victims[whom], signal.SIGKILL)
            _, said = loader.communicate(timeout=END_SECONDS)
            # PyTorch has many sentences for a worker that is gone, by what it was doing; all end the loader.
            assert whom != "a worker" or loader.returncode == 1, said.decode()
            assert f"exit code {WRONG}".encode() not in said, said.decode()
            wait_until(lambda pids=workers: all(map(has_ended, pids)), "the workers have ended", END_SECONDS)
    for path in (data / "coco").rglob("*.jpg"):
        assert (mount / path.relative_to(data / "coco")).read_bytes() == path.read_bytes()
