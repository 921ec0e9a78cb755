"""Packing into a folder of shards that are written in parallel, by threads here or by processes anywhere.

A shard is written from a `ShardTask`, which pickles, so any `concurrent.futures.Executor` can run it; whoever runs it
must see the source and the target folder under the same paths.
"""

from __future__ import annotations

import contextlib
import os
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice

from ffrfs.errors import ConfigError, PackError
from ffrfs.format.chunks import chunk_checksums, packed_chunks
from ffrfs.format.header import header_bytes
from ffrfs.linux.atomic import PendingFolder
from ffrfs.pack.copy import Piece, copy_files
from ffrfs.pack.progress import Tally
from ffrfs.pack.scan import SourceFile, SourceTree
from ffrfs.pack.writer import FileWriter

__all__ = ["MAX_SHARDS", "ShardTask", "new_shards", "pack_shards", "split_evenly", "split_to_size", "write_shard"]

MAX_SHARDS = 100_000  # PART_99999.ffr is the last name that sorts after all before it


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard to be written: its path; its files, their paths joined by NUL; the tree, in the last shard only.

    Paths are bytes: whoever writes the shard may have another locale.
    """

    out_file: bytes
    paths: bytes
    sizes: array[int]
    mtimes_ns: array[int]
    tree: bytes | None
    follow: bool
    jobs: int

    def files(self) -> Iterator[SourceFile]:
        """The files, in the order of their records."""
        paths = self.paths.split(b"\0") if self.sizes else []
        return map(SourceFile, paths, self.sizes, self.mtimes_ns)


def write_shard(task: ShardTask, written: Callable[[Piece], None] | None = None) -> bytes:
    """Write one shard. Args: written, as for `copy_files`. Returns: the CRC32s of its chunks, as `copy_files`, those of
    the tree included. Raises as `pack_folder`."""
    with FileWriter(os.fsdecode(task.out_file), len(task.sizes) + (task.tree is not None)) as writer:
        chunks = copy_files(task.files(), writer, task.jobs, task.follow, written)
        if task.tree is not None:
            writer.write_one(task.tree)
            chunks += packed_chunks(chunk_checksums(task.tree))
    return chunks


def split_evenly(sizes: Sequence[int], shards: int) -> list[int]:
    """Split records into shards of about the same number of bytes.

    A shard ends when it holds its share of the bytes that were left when it began, or when each of the shards after it
    can have but one record. On records of one size this is the reference's rule, ceil(n / shards) each.
    Args: sizes, in bytes, of all records. Returns: the end of each shard, as a record number; fewer than asked for
    where there are fewer records. Source: HFAiLab/ffrecord utils.py, dump, which splits by number.
    """
    ends: list[int] = []
    shards = min(shards, len(sizes))
    left = sum(sizes)
    used = 0
    for record, size in enumerate(sizes):
        used += size
        others = shards - len(ends) - 1
        if others and (used * (others + 1) >= left or len(sizes) - record - 1 == others):
            ends.append(record + 1)
            left -= used
            used = 0
    return [*ends, len(sizes)]


def split_to_size(sizes: Sequence[int], shard_bytes: int) -> list[int]:
    """Split records into shards whose files have at most `shard_bytes`, a record larger than that being one shard.

    Args and returns as `split_evenly`.
    """
    per_record = header_bytes(1) - header_bytes(0)
    ends: list[int] = []
    used = first = 0
    for record, size in enumerate(sizes):
        used += per_record + size
        if record > first and header_bytes(0) + used > shard_bytes:
            ends.append(record)
            first, used = record, per_record + size
    return [*ends, len(sizes)]


def pack_shards(
    tree: SourceTree,
    record: bytes,
    ends: list[int],
    out_folder: str,
    follow: bool,
    executor: Executor | None,
    jobs: int,
    tally: Tally,
) -> tuple[list[str], bytes]:
    """Write the shards of an archive.

    Args: record, the tree's; ends, of each shard, as record numbers; out_folder, made if it does not exist; follow,
    whether a path may be a symlink; executor, what writes the shards, by default threads here; jobs, threads in all,
    or for each shard that an executor writes.
    Returns: the paths of the shards, and the CRC32s of all chunks, as `write_shard`. The shards appear when all are
    written; the last appears first, so that a folder in which some are missing is never taken for a whole archive.
    Raises: ConfigError for too many shards, PackError if the folder has .ffr files; as `pack_folder`.
    """
    with new_shards(out_folder, len(ends)) as out_files:
        if executor is None:
            workers = min(jobs, len(ends), len(os.sched_getaffinity(0)))
            tasks = _tasks(tree, record, ends, out_files, follow, jobs // workers)
            with ThreadPoolExecutor(workers, "ffrfs-pack") as threads:
                chunks = _write_all(tasks, threads, True, tally)
        else:
            chunks = _write_all(_tasks(tree, record, ends, out_files, follow, jobs), executor, False, tally)
    return [os.path.join(out_folder, os.path.basename(out_file)) for out_file in out_files], chunks


@contextlib.contextmanager
def new_shards(out_folder: str, count: int) -> Iterator[list[str]]:
    """Yield the paths at which to write so many shards, which get their names in the folder when the block ends well.

    Raises: as `pack_shards`.
    """
    if count > MAX_SHARDS:
        raise ConfigError(f"{count} shards are too many, {MAX_SHARDS} are the most; make them larger")
    made = _make_folder(out_folder)
    try:
        staging = PendingFolder(out_folder, "shards")
        try:
            names = [f"PART_{shard:05d}.ffr" for shard in range(count)]
            yield [os.path.join(staging.path, name) for name in names]
            staging.commit(names)
        finally:
            staging.abort()
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(out_folder)
        raise


def _make_folder(folder: str) -> bool:
    """Make the folder; returns False if it existed, without shards in it."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        for name in os.listdir(folder):
            if name.endswith(".ffr"):
                raise PackError(
                    folder, f"it has {name} in it, and shards of two archives do not mix; remove it or choose another"
                ) from None
        return False
    return True


def _tasks(
    tree: SourceTree, record: bytes, ends: list[int], out_files: list[str], follow: bool, jobs: int
) -> list[ShardTask]:
    files = tree.files()
    tasks = []
    for begin, end, out_file in zip([0, *ends], ends, out_files, strict=False):
        sizes, mtimes_ns = tree.sizes[begin:end], tree.mtimes_ns[begin:end]
        paths = b"\0".join(file.path for file in islice(files, len(sizes)))
        last = record if end == ends[-1] else None
        tasks.append(ShardTask(os.fsencode(out_file), paths, sizes, mtimes_ns, last, follow, jobs))
    return tasks


class _Stopped(Exception):
    """Another shard failed."""


def _write_all(tasks: list[ShardTask], executor: Executor, local: bool, tally: Tally) -> bytes:
    """Write the shards. Local threads report each piece and end soon when one fails; others report whole shards."""
    stop = threading.Event()

    def written(piece: Piece) -> None:
        if stop.is_set():
            raise _Stopped
        tally.add(len(piece.files) if piece.last else 0, piece.length_bytes)

    write = partial(write_shard, written=written) if local else write_shard
    futures = {executor.submit(write, task): task for task in tasks}
    try:
        for future in as_completed(futures):
            future.result()
            if not local:
                sizes = futures[future].sizes
                tally.add(len(sizes), sum(sizes))
        return b"".join(future.result() for future in futures)
    finally:
        stop.set()
        wait([future for future in futures if not future.cancel()])
