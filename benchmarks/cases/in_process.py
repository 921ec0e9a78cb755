"""Reading without a mount: lookups, single records and batches, from the page cache, beside what they cannot beat.

The data are checked against their CRC32 wherever ffrfs reads; LMDB and the plain files have none to check.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

import ffrfs
from benchmarks.bench import Bench
from benchmarks.measuring import warm
from benchmarks.systems import Ffrfs
from benchmarks.trees import Tree
from ffrfs.format.header import crc32

BATCH = 64
ONE, BATCHED, LOOKUP = "in process, one by one", f"in process, batches of {BATCH}", "in process, lookup"
LOOKUPS = 100_000
NAMES_APART = 64  # of those that are looked up, in the order of the tree
LMDB_ROOM = 1.5  # map size over the size of the data: pages are not filled to the end
Read = Callable[[], int]


def run(bench: Bench) -> None:
    """Records of both trees, and names of the large archive."""
    for tree in (bench.coco, bench.small):
        _records(bench, tree)
    _lookups(bench)


def _records(bench: Bench, tree: Tree) -> None:
    archive = Ffrfs().image(tree)
    warm(archive)
    order = np.random.default_rng(1).permutation(tree.files)[: bench.plan.record_reads].tolist()
    with ExitStack() as stack:
        reader = stack.enter_context(ffrfs.FileReader(archive))
        batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
        ways: dict[str, dict[str, Read]] = {
            ONE: {
                "ffrfs": lambda: sum(len(reader.read_one(record)) for record in order),
                "pread + CRC32": stack.enter_context(_pread(archive, order)),
                "LMDB": stack.enter_context(_lmdb(tree, order)),
                "disk": _plain(tree, order),
            },
            BATCHED: {
                "ffrfs": lambda: sum(len(data) for batch in batches for data in reader.read(batch)),
            },
        }
        for round_number in range(bench.plan.rounds):
            for case, systems in ways.items():
                bench.console.print(f"{case}, {tree.name}, round {round_number + 1} of {bench.plan.rounds}")
                for system, read in systems.items():
                    start = time.perf_counter()
                    read()
                    seconds = time.perf_counter() - start
                    bench.results.add(case, tree.name, system, files_per_s=len(order) / seconds)


@contextmanager
def _pread(archive: Path, order: list[int]) -> Iterator[Read]:
    """The least that can be done: a pread of the record's bytes and the CRC32 that ffrfs uses."""
    n = int.from_bytes(archive.open("rb").read(12)[4:], "little")
    offsets = np.fromfile(archive, "<i8", n, offset=12 + 4 * n)
    extents = [(int(offsets[record]), int(offsets[record + 1] - offsets[record])) for record in order]
    fd = os.open(archive, os.O_RDONLY)
    try:
        yield lambda: sum(crc32(os.pread(fd, length, offset)) for offset, length in extents)
    finally:
        os.close(fd)


@contextmanager
def _lmdb(tree: Tree, order: list[int]) -> Iterator[Read]:
    """mmengine's LMDB backend, its database built if it is not there."""
    import lmdb
    from mmengine.fileio import LmdbBackend

    database = tree.root.with_suffix(".lmdb")
    if not database.exists():
        unfinished = database.with_name(f"unfinished-{database.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        size_bytes = int(tree.files * tree.mean_bytes * LMDB_ROOM) + (1 << 24)
        with lmdb.open(str(unfinished), map_size=size_bytes) as environment, environment.begin(write=True) as writing:
            for path in tree.paths:
                writing.put(path.encode(), (tree.root / path).read_bytes())
        unfinished.rename(database)
    warm(database)
    backend = LmdbBackend(str(database))
    keys = [tree.paths[record] for record in order]
    yield lambda: sum(len(backend.get(key)) for key in keys)


def _plain(tree: Tree, order: list[int]) -> Read:
    paths = [str(tree.root / tree.paths[record]) for record in order]
    warm(tree.root)

    def read() -> int:
        size_bytes = 0
        for path in paths:
            with open(path, "rb", buffering=0) as stream:
                size_bytes += len(stream.read())
        return size_bytes

    return read


def _lookups(bench: Bench) -> None:
    """One path component at a time, each time another folder, as a daemon is asked for names."""
    many = bench.names(bench.plan.many_names)
    paths = [(folder.encode(), name.encode()) for folder, names in many.names() for name in names[::NAMES_APART]]
    order = np.random.default_rng(2).permutation(len(paths))[:LOOKUPS]
    wanted = [paths[number] for number in order]
    with ffrfs.PackedFolder(many.archive()) as packed:
        lookup = packed.index.lookup
        for _ in range(bench.plan.rounds):
            start = time.perf_counter()
            found = sum(lookup(lookup(1, folder), name) != 0 for folder, name in wanted)
            microseconds = (time.perf_counter() - start) / (2 * len(wanted)) * 1e6
            if found != len(wanted):
                raise RuntimeError(f"{len(wanted) - found} of {len(wanted)} names were not found")
            bench.results.add(LOOKUP, many.title, "ffrfs", us_per_component=microseconds)
