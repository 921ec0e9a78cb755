"""From the command to the first answer, and the memory that the daemon then has for itself.

"first": nothing but the image is there. "again": an index that the system keeps is there from before. The page cache
holds the image in both.
"""

from __future__ import annotations

import pickle
import time
from pathlib import Path

from benchmarks.bench import LARGE_ROUNDS, Bench
from benchmarks.measuring import private_bytes, warm
from benchmarks.names import ManyNames
from benchmarks.systems import Daemon, Ffrfs, Ratarmount, Squashfuse

FIRST, AGAIN, UNPICKLING = "mount, first", "mount, again", "unpickling the tree"


def run(bench: Bench) -> None:
    """The small files with every daemon, and ffrfs with very many names beside the bare unpickling of its tree."""
    small, many = bench.small, bench.names(bench.plan.many_names)
    bench.interleave(
        f"mounting, {small.name}",
        (Ffrfs(), Squashfuse(), Ratarmount()),
        lambda system: _mount(bench, system, system.image(small), small.name),
    )
    bench.interleave(
        f"mounting, {many.title}",
        (Ffrfs(),),
        lambda system: _mount_many(bench, system, many),
        rounds=min(bench.plan.rounds, LARGE_ROUNDS),
    )


def _mount_many(bench: Bench, system: Ffrfs, many: ManyNames) -> None:
    _mount(bench, system, many.archive(), many.title)
    _unpickle(bench, many)


def _mount(bench: Bench, system: Daemon, image: Path, data: str) -> None:
    warm(image)
    for kept in system.kept_index(image):
        kept.unlink(missing_ok=True)
    for case in (FIRST, AGAIN):
        start = time.perf_counter()
        with bench.mounted(system, image) as mount:
            next(mount.root.iterdir())
            seconds = time.perf_counter() - start
            bench.results.add(case, data, system.name, seconds=seconds, private_mb=private_bytes(mount.daemon) / 1e6)


def _unpickle(bench: Bench, many: ManyNames) -> None:
    with many.tree_pickle().open("rb") as stream:
        start = time.perf_counter()
        tree = pickle.load(stream)
        bench.results.add(UNPICKLING, many.title, "pickle", seconds=time.perf_counter() - start)
    del tree
