"""Packing many small files, beside `cat` of the same files into one; both end with the data on the disk (fsync).

The files are in the page cache, so that reading and checksums are seen and not the storage below; and once from cold
storage, as a data set is packed that was just unpacked to a large disk.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bench import Bench
from benchmarks.measuring import drop_caches, warm
from benchmarks.systems import Ffrfs
from benchmarks.trees import Tree

WARM, COLD = "packing, page cache", "packing, cold storage"


def run(bench: Bench) -> None:
    """Both trees, both states."""
    for tree in (bench.coco, bench.small):
        for case in (WARM, COLD):
            for number in range(bench.plan.rounds):
                bench.console.print(f"{case}, {tree.name}, round {number + 1} of {bench.plan.rounds}")
                for system, pack in (("ffrfs", _ffrfs), ("cat", _cat)):
                    warm(tree.root) if case == WARM else drop_caches()
                    with TemporaryDirectory(dir=bench.folder, prefix="packed-") as folder:
                        start = time.perf_counter()
                        pack(tree, Path(folder, "packed.ffr"))
                        seconds = time.perf_counter() - start
                    bench.results.add(case, tree.name, system, files_per_s=tree.files / seconds)


def _ffrfs(tree: Tree, target: Path) -> None:
    Ffrfs().build(tree.root, target)


def _cat(tree: Tree, target: Path) -> None:
    names = "\0".join(tree.paths).encode()
    with target.open("wb") as stream:
        subprocess.run(["xargs", "-0", "cat"], check=True, cwd=tree.root, input=names, stdout=stream)
        os.fsync(stream.fileno())
