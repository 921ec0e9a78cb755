"""One large file in an archive: its first pass through a mount, in which it is checked, and a random read before it.

Everything is in the page cache. "disk" is the file as it lies there.
"""

from __future__ import annotations

import os
import subprocess
import time
from functools import partial
from pathlib import Path

from benchmarks.bench import LARGE_ROUNDS, Bench
from benchmarks.measuring import warm
from benchmarks.systems import Disk, Erofs, Ffrfs, Squashfuse, System
from benchmarks.trees import LargeFile

PASS, RANDOM = "first pass over a large file, dd bs=1M", "4 kB of a large file, right after the mount"
RANDOM_BYTES = 4096


def run(bench: Bench) -> None:
    """All systems that have an image of it; the random read only where something is mounted."""
    large = bench.large
    systems = (Ffrfs(), Squashfuse(), Erofs(), Disk())
    rounds = min(bench.plan.rounds, LARGE_ROUNDS)
    bench.interleave(f"large file, {large.name}", systems, partial(_measure, bench, large), rounds)


def _measure(bench: Bench, large: LargeFile, system: System) -> None:
    image = system.image(large)
    warm(image)
    with bench.mounted(system, image) as mount:
        file = mount.root / large.paths[0]
        start = time.perf_counter()
        _read_randomly(file)
        if mount.root != image:
            bench.results.add(RANDOM, large.name, system.name, ms=(time.perf_counter() - start) * 1e3)
    with bench.mounted(system, image) as mount:
        start = time.perf_counter()
        command = ["dd", "bs=1M", "of=/dev/null", "status=none", f"if={mount.root / large.paths[0]}"]
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
    bench.results.add(PASS, large.name, system.name, mb_per_s=large.mean_bytes / seconds / 1e6)


def _read_randomly(file: Path) -> None:
    fd = os.open(file, os.O_RDONLY)
    try:
        os.pread(fd, RANDOM_BYTES, os.fstat(fd).st_size // 3)
    finally:
        os.close(fd)
