"""Whether the arrays of an index are those of a tree, and of the archive that is open. No I/O; numpy only.

An index file comes from whoever wrote it, perhaps together with the archive. What passes here has all that the parser
and `build_index` guarantee, so a wrong index has no more power than a wrong archive. Everything is computed for many
rows at once, in as many threads as there are cores: ten million names take some tenths of a second.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffrfs.format.chunks import Chunks
from ffrfs.format.header import crc32, header_bytes
from ffrfs.format.lookup import KEY_BYTES, lookup_keys, name_words, shared_prefixes
from ffrfs.format.records import sum_bytes
from ffrfs.format.tree import MAX_DEPTH, MAX_NAME_BYTES

__all__ = ["InvalidIndexError", "check_arrays"]

_CHUNK_ROWS = 1 << 14  # what is computed of them stays in a core's cache
_CHUNK_BYTES = 1 << 20
_MAX_WORDS = -(-MAX_NAME_BYTES // KEY_BYTES)

Arrays = dict[str, NDArray[Any]]


class InvalidIndexError(ValueError):
    """What is wrong with the arrays of an index."""


def check_arrays(arrays: Arrays, shard_bytes: Sequence[int], header_checksums: Sequence[int]) -> None:
    """Check all arrays of an index.

    Args: arrays, as in `Index.ARRAYS`, of these types, one-dimensional; shard_bytes, header_checksums, of each shard of
    the archive: its file's size, and the CRC32 that its header begins with.
    Raises: InvalidIndexError. Cost: some 30 ns a row, a core; 16 bytes of memory for each directory, 1 for each row.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:

        def chunked(check: Callable[[int, int], None], end: int, size: int) -> None:
            if end <= size:  # not worth a thread
                check(0, end)
                return
            begins = range(0, end, size)
            for _ in pool.map(check, begins, [min(begin + size, end) for begin in begins]):
                pass

        _check_shapes(arrays, len(shard_bytes))
        _check_records(arrays, shard_bytes, header_checksums)
        _check_chunks(arrays)
        _check_directories(arrays)
        _check_names(arrays, chunked)
        _check_files(arrays, chunked)


def _require(condition: Any, problem: str) -> None:
    if not condition:
        raise InvalidIndexError(problem)


def _ascending(positions: NDArray[Any], begin: int, end: int) -> bool:
    """Whether the positions go from begin to end and never back."""
    return (
        len(positions) > 0
        and int(positions[0]) == begin
        and int(positions[-1]) == end
        and bool((positions[1:] >= positions[:-1]).all())
    )


def _check_shapes(arrays: Arrays, shards: int) -> None:
    rows, directories, records = len(arrays["parents"]), len(arrays["subdirectories"]), len(arrays["offsets"])
    expected = {
        "record_numbers": rows,
        "name_starts": rows + 1,
        "child_starts": directories + 1,
        "prefixes": directories,
        "keys": rows,
        "lengths": records,
        "checksums": records,
        "inodes": records,
        "first_records": shards + 1,
        "file_bytes": 1,
    }
    for name, count in expected.items():
        _require(len(arrays[name]) == count, f"it has {len(arrays[name])} {name}, and should have {count}")
    _require(rows > 0 and directories > 0, "it has no root")
    _require(_ascending(arrays["first_records"], 0, records), "its shards do not follow each other")
    _require(_ascending(arrays["child_starts"], 1, rows), "its directories do not follow each other")
    _require(_ascending(arrays["name_starts"], 0, len(arrays["names"])), "its names do not follow each other")


def _check_records(arrays: Arrays, shard_bytes: Sequence[int], header_checksums: Sequence[int]) -> None:
    """The records are those of the headers: they have the headers' checksums, and lie one behind the other."""
    offsets, lengths, first = arrays["offsets"], arrays["lengths"], arrays["first_records"].tolist()
    for begin, end, size, checksum in zip(first, first[1:], shard_bytes, header_checksums, strict=False):
        header = crc32(struct.pack("<q", end - begin))
        header = crc32(offsets[begin:end], crc32(arrays["checksums"][begin:end], header))
        _require(header == checksum, "its records are not those of the archive's header")
        if begin == end:
            continue
        _require(int(offsets[begin]) >= header_bytes(end - begin), "a record lies in the header")
        _require(
            (lengths[begin:end] >= 0).all() and (offsets[begin:end] <= size).all(), "a record is outside of its shard"
        )
        behind = np.append(offsets[begin + 1 : end], size)
        _require((behind - offsets[begin:end] == lengths[begin:end]).all(), "its records do not follow each other")


def _check_chunks(arrays: Arrays) -> None:
    """The checksums of chunks that are known make those of their records."""
    chunks, checksums, known = Chunks(arrays["lengths"]), arrays["chunk_checksums"], arrays["chunks_known"]
    if not len(checksums) and not len(known):
        return  # none is known
    _require(len(checksums) == len(chunks) and len(known) == len(chunks.large), "it has other chunks than its records")
    _require((known <= 1).all(), "it does not say whether chunks are known")
    if known.any():
        wrong = (chunks.combined(checksums) != arrays["checksums"][chunks.large]) & (known == 1)
        _require(not wrong.any(), "the checksums of a record's chunks are not that of the record")


def _check_directories(arrays: Arrays) -> None:
    """Every directory but the root is in one that has a lower number, so they are a tree; and it is not too deep."""
    record_numbers, child_starts = arrays["record_numbers"], arrays["child_starts"].astype(np.int64)
    directories = len(child_starts) - 1
    rows = np.flatnonzero(record_numbers < 0)
    numbers = -1 - record_numbers[rows].astype(np.int64)
    _require(len(rows) == directories and rows[0] == 0 and numbers[0] == 0, "it has another number of directories")
    _require((numbers < directories).all(), "it has a directory of too high a number")
    owners = np.zeros(directories, np.int64)
    owners[1:] = -1
    owners[numbers[1:]] = np.searchsorted(child_starts, rows[1:], "right") - 1
    _require((owners >= 0).all(), "a directory stands in it twice")
    _require((owners[1:] < np.arange(1, directories)).all(), "its directories are no tree")
    subdirectories = np.bincount(owners[1:], minlength=directories)
    _require((arrays["subdirectories"] == subdirectories).all(), "it counts subdirectories wrong")
    inodes = np.empty(directories, np.uint32)
    inodes[numbers] = rows + 1
    parents = np.repeat(inodes, np.diff(child_starts))
    _require(arrays["parents"][0] == 1 and (arrays["parents"][1:] == parents).all(), "a row has another parent")
    ancestors, steps = owners, 1
    while steps < MAX_DEPTH and ancestors.any():
        ancestors, steps = ancestors[ancestors], 2 * steps
    _require(not ancestors.any(), f"it is more than {MAX_DEPTH} directories deep")


def _check_names(arrays: Arrays, chunked: Callable[..., None]) -> None:
    """Names are such as a file system can show, ascend in each directory, and are found by the keys."""
    names, starts, child_starts = arrays["names"], arrays["name_starts"], arrays["child_starts"].astype(np.int64)
    rows = len(starts) - 1
    _require(int(starts[1]) == 0, "the root has a name")

    def check_bytes(begin: int, end: int) -> None:
        part = names[begin:end]
        _require(part.all() and not (part == ord("/")).any(), "a name has a NUL or a slash in it")

    chunked(check_bytes, len(names), _CHUNK_BYTES)
    first_children = np.zeros(rows + 1, np.bool_)
    first_children[child_starts] = True

    def check_order(begin: int, end: int) -> None:
        begin += 1  # the root has no name
        chunk = slice(begin, min(end + 2, rows) + 1)  # one row of overlap, to compare across the border
        part = starts[chunk].astype(np.int64)
        lengths = np.diff(part)
        _check_lengths(names, part[:-1], lengths)
        _check_ascending(names, part[:-1], lengths, ~first_children[chunk][1:-1])

    chunked(check_order, rows - 1, _CHUNK_ROWS)
    prefixes = shared_prefixes(names, starts, child_starts)
    _require((prefixes == arrays["prefixes"]).all(), "it has a wrong prefix of names")
    by_row = np.concatenate([np.zeros(1, np.uint8), np.repeat(prefixes, np.diff(child_starts))])

    def check_keys(begin: int, end: int) -> None:
        keys = lookup_keys(names, starts[begin : end + 1], by_row[begin:end])
        _require((keys == arrays["keys"][begin:end]).all(), "a name would not be found in it")

    chunked(check_keys, rows, _CHUNK_ROWS)


def _check_lengths(names: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
    _require(
        ((lengths >= 1) & (lengths <= MAX_NAME_BYTES)).all(),
        f"a name does not have 1 to {MAX_NAME_BYTES} bytes",
    )
    short = np.flatnonzero(lengths <= 2)
    ends = starts[short] + lengths[short] - 1
    dots = (names[starts[short]] == ord(".")) & (names[ends] == ord("."))
    _require(not dots.any(), "a name is . or ..")


def _check_ascending(
    names: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], compared: NDArray[np.bool_]
) -> None:
    """Raises unless each name of which `compared` says so, shape (names - 1,), is followed by a greater one."""
    for skip in range(0, _MAX_WORDS * KEY_BYTES, KEY_BYTES):
        if len(compared) > 64 and np.count_nonzero(compared) < len(compared) // 8:  # go on with these alone
            few = np.flatnonzero(compared)
            pairs = np.stack([few, few + 1], axis=1).ravel()
            starts, lengths = starts[pairs], lengths[pairs]
            compared = np.zeros(len(pairs) - 1, np.bool_)
            compared[::2] = True
        words = name_words(names, starts, lengths, skip)
        _require(not (compared & (words[:-1] > words[1:])).any(), "its names are not sorted")
        compared = compared & (words[:-1] == words[1:])
        if not compared.any():
            return
    raise InvalidIndexError("a directory has a name twice")


def _check_files(arrays: Arrays, chunked: Callable[..., None]) -> None:
    """Files have records that there are, and records know a file that has them."""
    record_numbers, inodes, records = arrays["record_numbers"], arrays["inodes"], len(arrays["offsets"])
    rows = len(record_numbers)
    totals: list[int] = []

    def check_rows(begin: int, end: int) -> None:
        numbers = record_numbers[begin:end]
        numbers = numbers[numbers >= 0]
        _require((numbers < records).all(), "a record number is outside of the archive")
        _require(inodes[numbers].all(), "it has a record without its file")
        totals.append(sum_bytes(arrays["lengths"][numbers]))

    def check_inodes(begin: int, end: int) -> None:
        named = np.flatnonzero(inodes[begin:end])
        its_inodes = inodes[begin:end][named].astype(np.int64)
        _require((its_inodes <= rows).all(), "it has a record of a file that is not")
        _require((record_numbers[its_inodes - 1] == begin + named).all(), "it has a record of another file")

    chunked(check_rows, rows, _CHUNK_ROWS)
    chunked(check_inodes, records, _CHUNK_ROWS)
    _require(sum(totals) == int(arrays["file_bytes"][0]), "the sum of its files' sizes is wrong")
