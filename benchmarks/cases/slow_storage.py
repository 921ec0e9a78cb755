"""Storage that answers each read after 5 ms (`slowfs`): a batch in process, and a shuffled epoch through the mount.

The archive lies on the slow storage, its index does not, as on a node whose data are on a network.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

import ffrfs
from benchmarks.bench import Bench
from benchmarks.measuring import warm
from benchmarks.readers import Readers
from benchmarks.systems import Baseline, Ffrfs, SlowStorage
from benchmarks.trees import Tree

LATENCY_MS = 5
BATCH, READERS, MANY_READERS = 64, 4, 32
BATCHES = 10  # of one round: single ones vary by a factor of two
ONE, BATCHED = "5 ms storage, one read", f"5 ms storage, batch of {BATCH}"
EPOCH = f"5 ms storage, shuffled epoch, {READERS} readers"
CROWD = f"5 ms storage, shuffled epoch, {MANY_READERS} readers"
HINTED = "ffrfs, hinted"
HINT = "import sys, ffrfs; ffrfs.prefetch(sys.stdin.read().splitlines())"


def run(bench: Bench) -> None:
    """Both trees in process; epochs on the mount, with hints and without."""
    for tree in (bench.coco, bench.small):
        with _slow_archive(bench, tree) as archive:
            for number in range(bench.plan.rounds):
                bench.console.print(f"{BATCHED}, {tree.name}, round {number + 1} of {bench.plan.rounds}")
                _batch(bench, tree, archive, seed=number)
            hinted, unhinted = Ffrfs(HINTED), (Ffrfs(), Baseline())
            for case, readers, systems in ((EPOCH, READERS, (hinted, *unhinted)), (CROWD, MANY_READERS, unhinted)):
                bench.interleave(f"{case}, {tree.name}", systems, partial(_epoch, bench, tree, archive, case, readers))


@contextmanager
def _slow_archive(bench: Bench, tree: Tree) -> Iterator[Path]:
    """The tree's archive, seen through slow storage."""
    archive = Ffrfs().image(tree)
    warm(archive)
    slow = bench.folder / f"slow-{bench.mountpoint.name}"
    slow.mkdir(exist_ok=True)
    with SlowStorage(LATENCY_MS).mounted(archive.parent, slow) as storage:
        yield storage.root / archive.name
    slow.rmdir()


def _batch(bench: Bench, tree: Tree, archive: Path, seed: int) -> None:
    numbers = np.random.default_rng(seed)
    with ffrfs.FileReader(archive) as reader:
        for _ in range(BATCHES):
            first, *others = numbers.choice(tree.files, BATCH + 1, replace=False).tolist()
            times = [time.perf_counter()]
            reader.read_one(first)
            times.append(time.perf_counter())
            reader.read(others)
            times.append(time.perf_counter())
            for case, seconds in zip((ONE, BATCHED), np.diff(times), strict=True):
                bench.results.add(case, tree.name, "ffrfs", ms=float(seconds) * 1e3)


def _epoch(bench: Bench, tree: Tree, archive: Path, case: str, count: int, system: Ffrfs) -> None:
    """All readers start when the hint is given, as workers do that know the sampler's order."""
    sizes = tree.shuffled(bench.plan.epoch_files)
    if isinstance(system, Baseline):
        archive = archive.with_name(system.image(tree).name)
    with bench.mounted(system, archive) as mount, Readers(mount.root, sizes, count) as readers:
        hinting = None
        if system.name == HINTED:
            hinting = subprocess.Popen([sys.executable, "-c", HINT], stdin=subprocess.PIPE, text=True)
            hinting.communicate("".join(f"{mount.root}/{path}\n" for path in sizes))
        measured = readers.run_pass()
    if hinting and hinting.returncode:
        raise RuntimeError(f"the hint failed with status {hinting.returncode}")
    bench.results.add(case, tree.name, system.name, files_per_s=measured.files_per_s)
