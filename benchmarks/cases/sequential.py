"""A pass over the whole tree in name order, from cold storage: `cat` of every file, and `tar`.

Nothing of tree or image is in the page cache at the start of each pass.
"""

from __future__ import annotations

import subprocess
import time
from functools import partial

from benchmarks.bench import Bench
from benchmarks.measuring import drop_caches
from benchmarks.readers import Readers
from benchmarks.systems import Disk, Erofs, Ffrfs, Mount, Ratarmount, Squashfuse, System
from benchmarks.trees import Tree

SYSTEMS = (Ffrfs(), Disk(), Squashfuse(), Erofs(), Ratarmount())
CAT, TAR = "sequential cat, cold storage", "sequential tar, cold storage"


def run(bench: Bench) -> None:
    """Both ways on both trees."""
    for tree in (bench.coco, bench.small):
        bench.interleave(f"sequential passes, {tree.name}", SYSTEMS, partial(_measure, bench, tree))


def _measure(bench: Bench, tree: Tree, system: System) -> None:
    image = system.image(tree)
    drop_caches()
    with bench.mounted(system, image) as mount, Readers(mount.root, tree.sizes) as readers:
        bench.results.add(CAT, tree.name, system.name, files_per_s=readers.run_pass().files_per_s)
    drop_caches()
    with bench.mounted(system, image) as mount:
        bench.results.add(TAR, tree.name, system.name, files_per_s=tree.files / _tar_seconds(mount))


def _tar_seconds(mount: Mount) -> float:
    """Time tar into a pipe: to /dev/null it would not read the files."""
    start = time.perf_counter()
    with subprocess.Popen(["tar", "-C", mount.root, "-cf", "-", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(["cat"], check=True, stdin=tar.stdout, stdout=subprocess.DEVNULL)
    if tar.returncode:
        raise RuntimeError(f"tar ended with status {tar.returncode}")
    return time.perf_counter() - start
