"""Verifying a whole archive: every record read and compared with its CRC32, at the storage's speed."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ffrfs.archive.index_file import find_index_file
from ffrfs.archive.reader import checksum_error
from ffrfs.archive.shards import Shards
from ffrfs.errors import ArchiveError, FormatError
from ffrfs.format.header import crc32
from ffrfs.format.index import Index
from ffrfs.format.names import decode_name
from ffrfs.pack.progress import Progress, Tally

__all__ = ["verify", "verify_index_file"]

_BATCH_BYTES = 1 << 23  # what one thread reads at once: neighbouring records up to this size, or a part of a large one


def verify(
    shards: Shards, index: Index, jobs: int | None = None, progress: Progress | None = None
) -> list[ArchiveError]:
    """Check every record of an archive.

    Args: jobs, how many threads read; progress, called with (records done, bytes done, records in all,
    bytes in all).
    Returns: what is damaged, in record order. Memory: 8 MiB a thread. Raises: OSError if storage fails otherwise.
    """
    check = functools.partial(_check_twice, shards, index)
    threads = jobs or 2 * (os.cpu_count() or 1)
    damaged: list[ArchiveError] = []
    tally = Tally(progress, len(index.records), int(index.records.lengths.sum()))
    with ThreadPoolExecutor(threads) as pool:
        # map would submit everything at once; a window bounds what waits.
        batches = _batches(index)
        while window := [batch for _, batch in zip(range(16 * threads), batches, strict=False)]:
            for (begin, end), problems in zip(window, pool.map(check, window), strict=True):
                for record, actual in problems:
                    inode = index.inode(record)
                    name = decode_name(index.path(inode)) if inode else ""
                    damaged.append(checksum_error(shards, index.records, record, actual, name))
                tally.add(end - begin, int(index.records.lengths[begin:end].sum()))
    return damaged


def verify_index_file(shards: Shards, index: Index) -> list[ArchiveError]:
    """Compare the index that is kept, and would be used, with the archive's own.

    Args: index, built from the archive. Returns: the error that it is another one, or nothing.
    """
    found = find_index_file(shards)
    if found is None:
        return []
    path, kept = found
    for name, array in index.arrays.items():
        if name not in ("chunk_checksums", "chunks_known") and not np.array_equal(array, kept.arrays[name]):
            return [FormatError(path, f"this index has other {name} than the archive: delete it")]
    return []


def _batches(index: Index) -> Iterator[tuple[int, int]]:
    """Runs [begin, end) of records that lie in one shard and together are about `_BATCH_BYTES`."""
    records = index.records
    for first, last in zip(records.first[:-1].tolist(), records.first[1:].tolist(), strict=True):
        ends = np.cumsum(records.lengths[first:last])
        begin = first
        while begin < last:
            done = int(ends[begin - first - 1]) if begin > first else 0
            end = first + int(np.searchsorted(ends, done + _BATCH_BYTES, "right"))
            end = min(max(end, begin + 1), last)
            yield begin, end
            begin = end


def _check_twice(shards: Shards, index: Index, batch: tuple[int, int]) -> list[tuple[int, int]]:
    """As `_check`; what a cache had wrong is read again."""
    wrong = _check(shards, index, batch)
    again = [shards.distrust(*index.records.extent(record)) for record, _ in wrong]
    return _check(shards, index, batch) if any(again) else wrong


def _check(shards: Shards, index: Index, batch: tuple[int, int]) -> list[tuple[int, int]]:
    """The records of a batch whose CRC32 is wrong, with the CRC32 that they have."""
    begin, end = batch
    records = index.records
    shard, first_offset, _ = records.extent(begin)
    if end - begin > 1 or records.length(begin) <= _BATCH_BYTES:
        _, last_offset, last_length = records.extent(end - 1)
        whole = memoryview(shards.read(shard, first_offset, last_offset + last_length - first_offset))
        wrong = []
        for record in range(begin, end):
            _, offset, length = records.extent(record)
            actual = crc32(whole[offset - first_offset : offset - first_offset + length])
            if actual != records.checksum(record):
                wrong.append((record, actual))
        return wrong
    actual, length = 0, records.length(begin)
    for at in range(0, length, _BATCH_BYTES):
        actual = crc32(shards.read(shard, first_offset + at, min(_BATCH_BYTES, length - at)), actual)
    return [] if actual == records.checksum(begin) else [(begin, actual)]
