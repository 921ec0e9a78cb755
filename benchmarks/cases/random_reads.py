"""Whole files in random order through each mount, as training reads them: cold, warm, and from cold storage.

States of the caches. "cold": the system was mounted a moment ago, so nothing of it is in the page cache and no name is
known; its image is in the page cache. "listed": the same, but the folders were listed first. "warm": the same files
again on the same mount. "cold storage": nothing at all is in the page cache.
The disk tree has no cache of its own beside the page cache, so it is never "cold" or "listed" in this sense.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from benchmarks.bench import Bench
from benchmarks.measuring import cpu_seconds, drop_caches, warm
from benchmarks.readers import Readers
from benchmarks.systems import Baseline, Disk, Erofs, Ffrfs, Mount, Ratarmount, Squashfuse, System
from benchmarks.tracing import NOT_WAITED_FOR, fuse_requests
from benchmarks.trees import Tree


@dataclass(frozen=True)
class Setting:
    """How many readers there are, and the CPUs that they and the daemon share ("" for all)."""

    name: str
    readers: int
    cpus: str


ONE_CORE = Setting("1 reader, one core", 1, "0")
ALL_CORES = Setting("4 readers, all cores", 4, "")
ONE_READER = Setting("1 reader, all cores", 1, "")
REQUESTS_COLD, REQUESTS_LISTED, REQUESTS_WARM = "requests, never listed", "requests, listed", "requests, warm"


def run(bench: Bench) -> None:
    """All states and settings on both trees."""
    systems = (Ffrfs(), Baseline(), Squashfuse(), Erofs(), Ratarmount(), Disk())
    fuse_systems = (Ffrfs(), Baseline(), Squashfuse(), Ratarmount())
    for tree in (bench.coco, bench.small):
        for setting in (ONE_CORE, ALL_CORES):
            for state, measure in STATES.items():
                what = f"{state}, {setting.name}, {tree.name}"
                bench.interleave(what, systems, partial(measure, bench, tree, setting))
        bench.interleave(f"requests, {tree.name}", fuse_systems, partial(_count_requests, bench, tree), rounds=1)


def measure_cold_and_warm(bench: Bench, tree: Tree, setting: Setting, system: System) -> None:
    """One round of a system, mounted again: a cold pass and a warm one, and the daemon's CPU time for each."""
    warm(system.image(tree))
    with _reading(bench, tree, setting, system) as (mount, readers):
        for state in ("cold", "warm"):
            before_s = _cpu_seconds(mount)
            measured = readers.run_pass()
            daemon_s = _cpu_seconds(mount) - before_s
            if state == "cold" and isinstance(system, Disk):
                continue
            metrics = {"files_per_s": measured.files_per_s}
            if mount.daemon:
                metrics["daemon_us"] = daemon_s / measured.files * 1e6
            bench.results.add(f"{state}, {setting.name}", tree.name, system.name, **metrics)


def _measure_listed(bench: Bench, tree: Tree, setting: Setting, system: System) -> None:
    """As `measure_cold_and_warm`, the folders listed before; with the daemon's CPU time for both passes together."""
    if isinstance(system, Disk):
        return
    warm(system.image(tree))
    with _reading(bench, tree, setting, system) as (mount, readers):
        _list(mount)
        before_s = _cpu_seconds(mount)
        rates = [readers.run_pass() for _ in range(2)]
        metrics = {"files_per_s": rates[0].files_per_s, "again_files_per_s": rates[1].files_per_s}
        if mount.daemon:
            metrics["daemon_us"] = (_cpu_seconds(mount) - before_s) / rates[0].files * 1e6
    bench.results.add(f"listed, {setting.name}", tree.name, system.name, **metrics)


def _measure_cold_storage(bench: Bench, tree: Tree, setting: Setting, system: System) -> None:
    system.image(tree)
    drop_caches()
    with _reading(bench, tree, setting, system) as (_, readers):
        rate = readers.run_pass().files_per_s
    bench.results.add(f"cold storage, {setting.name}", tree.name, system.name, files_per_s=rate)


def _count_requests(bench: Bench, tree: Tree, system: System) -> None:
    """Count what the readers wait for in passes over all files, which are not timed, since tracing costs."""
    warm(system.image(tree))
    for list_first in (False, True):
        with _reading(bench, tree, ONE_READER, system, tree.files) as (mount, readers):
            if list_first:
                _list(mount)
            for case in (REQUESTS_LISTED, REQUESTS_WARM) if list_first else (REQUESTS_COLD,):
                with fuse_requests(mount.root, readers.pids) as counts:
                    files = readers.run_pass().files
                waited = sum(count for name, count in counts.items() if name not in NOT_WAITED_FOR)
                by_name = {name.lower(): count / files for name, count in sorted(counts.items())}
                bench.results.add(case, tree.name, system.name, waited_per_file=waited / files, **by_name)


@contextmanager
def _reading(
    bench: Bench, tree: Tree, setting: Setting, system: System, files: int | None = None
) -> Iterator[tuple[Mount, Readers]]:
    sizes = tree.shuffled(files or bench.plan.sample_files)
    with (
        bench.mounted(system, system.image(tree), setting.cpus) as mount,
        Readers(mount.root, sizes, setting.readers, setting.cpus) as readers,
    ):
        yield mount, readers


def _list(mount: Mount) -> None:
    subprocess.run(["ls", "-lR", mount.root], check=True, stdout=subprocess.DEVNULL)


def _cpu_seconds(mount: Mount) -> float:
    return cpu_seconds(mount.daemon) if mount.daemon else 0.0


STATES = {"cold and warm": measure_cold_and_warm, "listed": _measure_listed, "cold storage": _measure_cold_storage}
