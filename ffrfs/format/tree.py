"""The tree of a packed folder: from the pickled metadata record to columns of names and record numbers. No I/O.

No Python object is kept for a file: `pickled` finds the positions of names and numbers in the record, numpy does the
rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffrfs.format.pickled import BININT, BININT1, BININT2, SHORT_BINUNICODE, PickledTree

__all__ = ["MAX_DEPTH", "MAX_NAME_BYTES", "Tree", "numbered_tree", "parse_tree"]

MAX_NAME_BYTES = 255  # what Linux allows, so a longer one could never be looked up
_MAX_TEXT_BYTES = 3 * MAX_NAME_BYTES  # as it stands in the pickle, where a byte may be a surrogate of three
# Handled at once, so that what is needed meanwhile stays in the processor's cache.
_CHUNK_ENTRIES, _CHUNK_BYTES = 1 << 16, 1 << 20
MAX_DEPTH = 2048  # directories below each other; a path of PATH_MAX bytes has no more


@dataclass(frozen=True, slots=True)
class Tree:
    """The entries of all directories, in the order in which the archive lists them; entry e has

    owner[e]: the directory it is in, directories being numbered from 0, the root, in the order they were begun;
    text[starts[e] : starts[e] + lengths[e]]: its name, as the bytes a file system would show;
    records[e]: its record number, or -1 - d for the directory number d.

    All arrays have shape (entries,); `directories` counts the directories, the root included.
    """

    owner: NDArray[np.int32]
    text: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]
    records: NDArray[np.int32]
    directories: int


def parse_tree(path: str, blob: bytes, begin: int, n_records: int, file_offset: int) -> Tree:
    """Parse the metadata record of a packed folder.

    Args: path, for errors; blob, the record; begin, where in it the pickle begins; n_records, how many records files
    may refer to; file_offset, where in the file the record begins.
    Returns: the tree; names are not yet known to be unique or sorted (see `index.build_index`).
    Raises: FormatError for anything but a tree of well-formed names and record numbers in range.
    Cost: some 0.4 µs an entry, 24 bytes of memory an entry beside the result.
    """
    parser = PickledTree(path, blob, begin, file_offset)
    parser.parse()
    names = np.frombuffer(parser.names, np.int64)
    values = np.frombuffer(parser.values, np.int64)
    owner = _owners(parser, len(names))
    records, lengths = np.empty(len(names), np.int32), np.empty(len(names), np.int32)
    starts = np.empty(len(names), np.int64)
    for begin in range(0, len(names), _CHUNK_ENTRIES):
        chunk = slice(begin, begin + _CHUNK_ENTRIES)
        records[chunk] = _records(parser, values[chunk], n_records)
        starts[chunk], lengths[chunk] = _extents(parser, names[chunk])
    _check_depth(parser, owner, records)
    text = _decode_surrogates(parser, starts, lengths)
    return Tree(owner, text, starts, lengths, records, parser.directories)


def numbered_tree(n_records: int) -> Tree:
    """The tree that stands for an archive without one: a directory of files 000, 001, … named by record number."""
    width = len(str(max(n_records - 1, 0)))
    numbers = np.arange(n_records, dtype=np.int64)
    digits = (numbers[:, None] // 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)) % 10
    return Tree(
        owner=np.zeros(n_records, np.int32),
        text=(digits + ord("0")).astype(np.uint8).ravel(),
        starts=numbers * width,
        lengths=np.full(n_records, width, np.int32),
        records=numbers.astype(np.int32),
        directories=1,
    )


def _owners(parser: PickledTree, entries: int) -> NDArray[np.int32]:
    spans = np.frombuffer(parser.spans, np.int64).reshape(-1, 3)
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    lengths = spans[:, 1] - spans[:, 0]
    if int(lengths.sum()) != entries:
        raise parser.error("it has names that belong to no directory", len(parser.blob))
    return np.repeat(spans[:, 2].astype(np.int32), lengths)


def _records(parser: PickledTree, values: NDArray[np.int64], n_records: int) -> NDArray[np.int64]:
    """The record numbers at these positions; a negative one is the number of a directory and stays."""
    opcodes = parser.text[np.maximum(values, 0)]
    opcodes[values < 0] = 0
    records = values.copy()
    for opcode, dtype in ((BININT1, "u1"), (BININT2, "<u2"), (BININT, "<i4")):
        entries = np.flatnonzero(opcodes == opcode)
        records[entries] = _little_endian(parser.text, values[entries] + 1, dtype)
    wrong = np.flatnonzero((values >= 0) & ((records < 0) | (records >= n_records)))
    if len(wrong):
        raise parser.error(
            f"record number {records[wrong[0]]} is outside the archive's 0 to {n_records - 1}", int(values[wrong[0]])
        )
    return records


def _little_endian(text: NDArray[np.uint8], at: NDArray[np.int64], dtype: str) -> NDArray[Any]:
    """The little-endian numbers at these positions. Rows of a window are copied whole, which is several times faster
    than gathering bytes."""
    rows = np.lib.stride_tricks.sliding_window_view(text, np.dtype(dtype).itemsize)[at]
    return rows.view(dtype).ravel()


def _check_depth(parser: PickledTree, owner: NDArray[np.int32], records: NDArray[np.int32]) -> None:
    entries = np.flatnonzero(records < 0)
    if len(entries) != parser.directories - 1:
        raise parser.error("it has directories that are in no directory", len(parser.blob))
    depth = [0] * parser.directories
    # A directory is begun after the one it is in, so in this order the parent's depth is always known.
    children = -1 - records[entries]
    order = np.argsort(children)
    for child, parent in zip(children[order].tolist(), owner[entries][order].tolist(), strict=True):
        depth[child] = depth[parent] + 1
    if max(depth) > MAX_DEPTH:
        raise parser.error(f"it is {max(depth)} directories deep, more than {MAX_DEPTH}", len(parser.blob))


def _extents(parser: PickledTree, names: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where in the pickle the names with these opcodes begin, and their lengths."""
    short = parser.text[names] == SHORT_BINUNICODE
    lengths = parser.text[names + 1].astype(np.int64)
    long = np.flatnonzero(~short)
    lengths[long] = _little_endian(parser.text, names[long] + 1, "<u4")
    too_long = np.flatnonzero(lengths > _MAX_TEXT_BYTES)
    if len(too_long):  # before any is decoded: one long text may be the name of many entries
        raise parser.error(
            f"a name has {lengths[too_long[0]]} bytes, allowed are 1 to {MAX_NAME_BYTES}", int(names[too_long[0]])
        )
    return names + np.where(short, 2, 5), lengths


def _decode_surrogates(parser: PickledTree, starts: NDArray[np.int64], lengths: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Bytes of names that were not UTF-8 when packed are stored as lone surrogates. Names with such are decoded and
    appended to the text, which is returned; where they begin and end is changed in place."""
    text = parser.text
    chunks = range(0, len(text), _CHUNK_BYTES)
    begins = np.concatenate([at + np.flatnonzero(text[at : at + _CHUNK_BYTES] == 0xED) for at in chunks])
    surrogates = begins[text[np.minimum(begins + 1, len(text) - 1)] >= 0xA0]
    if len(surrogates) == 0 or len(starts) == 0:
        return text
    # Most are bytes of numbers. One in a name is in that which begins last before it, since names do not overlap; and
    # several entries may have one name.
    order = np.argsort(starts, kind="stable")
    before = order[np.maximum(np.searchsorted(starts[order], surrogates, "right") - 1, 0)]
    inside = (starts[before] <= surrogates) & (surrogates < starts[before] + lengths[before])
    if not inside.any():
        return text
    holds = np.flatnonzero(np.isin(starts, starts[before[inside]]))
    # One text may be the name of many entries.
    distinct, which = np.unique(starts[holds], return_inverse=True)
    appended = bytearray()
    new_starts, new_lengths = np.empty(len(distinct), np.int64), np.empty(len(distinct), np.int32)
    of_distinct = np.empty(len(distinct), np.int32)
    of_distinct[which] = lengths[holds]
    for number, (start, length) in enumerate(zip(distinct.tolist(), of_distinct.tolist(), strict=True)):
        try:
            name = (
                parser.blob[start : start + length].decode("utf-8", "surrogatepass").encode("utf-8", "surrogateescape")
            )
        except UnicodeError:
            raise parser.error("a name is not text", start) from None
        new_starts[number], new_lengths[number] = len(text) + len(appended), len(name)
        appended += name
    starts[holds], lengths[holds] = new_starts[which], new_lengths[which]
    return np.concatenate([text, np.frombuffer(bytes(appended), np.uint8)])
