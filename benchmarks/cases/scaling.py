"""How the mount scales: worker processes by reader processes, cold and warm as in `random_reads`, on all cores."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import Bench
from benchmarks.cases.random_reads import Setting, measure_cold_and_warm
from benchmarks.systems import Daemon, Ffrfs, Squashfuse

WORKERS = (1, 2, 4)
READERS = (1, 2, 4, 8)


def case(state: str, readers: int) -> str:
    """The case's name in the results; state is cold or warm."""
    return f"{state}, scaling, {readers} readers"


def run(bench: Bench) -> None:
    """All pairs on the COCO-like tree, and squashfuse_ll beside them."""
    ours = [Ffrfs(f"ffrfs, {workers} workers", f"workers={workers}") for workers in WORKERS]
    systems: list[Daemon] = [*ours, Squashfuse()]
    for readers in READERS:
        setting = Setting(case("", readers).removeprefix(", "), readers, "")
        bench.interleave(setting.name, systems, partial(measure_cold_and_warm, bench, bench.coco, setting))
