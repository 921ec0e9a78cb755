"""`find` and `ls -lR` over many names, each on a mount that nothing has been asked of before, and `find` once more."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from benchmarks.bench import LARGE_ROUNDS, Bench
from benchmarks.measuring import private_bytes, warm
from benchmarks.systems import Baseline, Disk, Erofs, Ffrfs, Ratarmount, Squashfuse, System

FIND, AGAIN, LS = "find", "find, again", "ls -lR"
COMMANDS = {FIND: ("find",), LS: ("ls", "-lR")}
REPEATED = {FIND: AGAIN}


def run(bench: Bench) -> None:
    """All systems on the small files; on very many names those that can have them without a million real files."""
    small, many = bench.small, bench.names(bench.plan.names)
    systems = (Ffrfs(), Baseline(), Squashfuse(), Erofs(), Ratarmount(), Disk())
    bench.interleave(
        f"listing, {small.name}", systems, lambda system: _list(bench, system, system.image(small), small.name)
    )
    baseline = Baseline()
    images = {
        "ffrfs": many.archive(),
        baseline.name: baseline.second_name(many.archive()),
        "squashfuse_ll": many.squashfs(),
    }
    bench.interleave(
        f"listing, {many.title}",
        systems[:3],
        lambda system: _list(bench, system, images[system.name], many.title),
        rounds=min(bench.plan.rounds, LARGE_ROUNDS),
    )


def _list(bench: Bench, system: System, image: Path, data: str) -> None:
    warm(image)
    for case, command in COMMANDS.items():
        with bench.mounted(system, image) as mount:
            for measured in filter(None, (case, REPEATED.get(case))):
                start = time.perf_counter()
                subprocess.run([*command, mount.root], check=True, stdout=subprocess.DEVNULL)
                bench.results.add(measured, data, system.name, seconds=time.perf_counter() - start)
            if mount.daemon:
                bench.results.add(case, data, system.name, private_mb=private_bytes(mount.daemon) / 1e6)
