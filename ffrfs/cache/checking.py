"""Whether what a cache holds is what was packed."""

from __future__ import annotations

import os

import numpy as np

from ffrfs.cache.entry import BLOCK_BYTES, Entry
from ffrfs.errors import ArchiveError
from ffrfs.format.header import PREFIX_BYTES, crc32, decode_header, header_bytes, record_count

__all__ = ["drop_wrong_blocks"]

_PART_BYTES = 1 << 23


def drop_wrong_blocks(entry: Entry) -> tuple[int, int]:
    """Compare all records that are there whole with the checksums of the archive's header, if that is there.

    Returns: how many records were compared, and how many blocks were dropped because something in them is wrong.
    Raises: OSError. Memory: the header, and 8 MiB.
    """
    size, path = entry.facts.size_bytes, entry.facts.name
    if not _is_there(entry, 0, PREFIX_BYTES):
        return 0, 0
    try:
        length = header_bytes(record_count(path, os.pread(entry.fd, PREFIX_BYTES, 0), size))
        if not _is_there(entry, 0, length):
            return 0, 0
        header = decode_header(path, os.pread(entry.fd, length, 0), size)
    except ArchiveError:
        return 0, _drop(entry, 0, 1)
    blocks = np.frombuffer(entry.generations(0, entry.blocks), np.uint8) != 0
    present = np.concatenate(([0], np.cumsum(blocks)))
    compared = dropped = 0
    for record, (begin, end) in enumerate(zip(header.offsets[:-1].tolist(), header.offsets[1:].tolist(), strict=True)):
        first, stop = begin // BLOCK_BYTES, -(-end // BLOCK_BYTES)
        if begin == end or present[stop] - present[first] != stop - first:
            continue
        compared += 1
        if _crc32(entry, begin, end) != header.checksums[record]:
            dropped += _drop(entry, first, stop)
    return compared, dropped


def _is_there(entry: Entry, begin: int, end: int) -> bool:
    return 0 not in entry.generations(begin // BLOCK_BYTES, -(-end // BLOCK_BYTES))


def _drop(entry: Entry, first: int, end: int) -> int:
    there = sum(generation != 0 for generation in entry.generations(first, end))
    entry.drop(first, end)
    return there


def _crc32(entry: Entry, begin: int, end: int) -> int:
    actual = 0
    for at in range(begin, end, _PART_BYTES):
        actual = crc32(os.pread(entry.fd, min(_PART_BYTES, end - at), at), actual)
    return actual
