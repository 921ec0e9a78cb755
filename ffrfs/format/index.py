"""The index of an archive: its tree and records as flat arrays, and the lookup in them. No I/O.

Row 0 is the root; the inode of a row is the row plus one, so the root is inode 1. The children of a directory are one
contiguous run of rows, sorted by name. There is no Python object for a file; `arrays` and `from_arrays` carry an index
to and from a file that every process maps (see `ffrfs.archive.index_file`).
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ffrfs.errors import FormatError
from ffrfs.format.chunks import Chunks
from ffrfs.format.lookup import KEY_BYTES, lookup_keys, shared_prefixes
from ffrfs.format.records import Records, sum_bytes
from ffrfs.format.tree import MAX_NAME_BYTES, Tree

__all__ = ["ROOT_INODE", "Index", "build_index"]

ROOT_INODE = 1
# Handled at once while building, so that what is computed of them stays in the processor's cache.
_CHUNK_ROWS, _CHUNK_BYTES = 1 << 14, 1 << 19


class Index:
    """Names and records of an archive.

    Args: arrays, by name, as `build_index` makes them (shapes and types in `ARRAYS`).
    """

    # Array name -> element type. rows, directories, records, buckets and shards are the counts that shapes derive from.
    ARRAYS: ClassVar[dict[str, str]] = {
        "parents": "<u4",  # (rows,) inode of the directory that a row is in; the root is in itself
        "record_numbers": "<i4",  # (rows,) record of a file; -1 - d for the directory number d
        "name_starts": "<i8",  # (rows + 1,) positions in names
        "names": "|u1",  # (bytes,) all names, back to back
        "child_starts": "<u4",  # (directories + 1,) children of directory d are rows [d] to [d + 1]
        "subdirectories": "<u4",  # (directories,) how many of the children are directories
        "prefixes": "|u1",  # (directories,) with how many bytes all names in directory d begin (see `lookup`)
        "keys": "<u8",  # (rows,) the eight bytes of the name that follow these; 0 for the root
        "offsets": "<i8",  # (records,)
        "lengths": "<i8",  # (records,)
        "checksums": "<u4",  # (records,)
        "inodes": "<u4",  # (records,) the inode of each record's file, 0 where no file has it
        "first_records": "<i8",  # (shards + 1,)
        "file_bytes": "<i8",  # (1,) the sum of the files' sizes
        "chunk_checksums": "<u4",  # (chunks,) of each MiB of the records over 1 MiB (see `chunks`); 0 where not known
        "chunks_known": "|u1",  # (large records,) 1 where they are known; both arrays are empty where none is
    }

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.arrays = arrays
        self.records = Records(
            arrays["offsets"],
            arrays["lengths"],
            arrays["checksums"],
            arrays["first_records"],
        )
        self.chunks = Chunks(arrays["lengths"])
        self._parents = memoryview(arrays["parents"])
        self._record_numbers = memoryview(arrays["record_numbers"])
        self._name_starts = memoryview(arrays["name_starts"])
        self._names = memoryview(arrays["names"])
        self._child_starts = memoryview(arrays["child_starts"])
        self._subdirectories = memoryview(arrays["subdirectories"])
        self._inodes = memoryview(arrays["inodes"])
        self._prefixes = memoryview(arrays["prefixes"])
        self._keys = memoryview(arrays["keys"])

    def __len__(self) -> int:
        """The number of rows: files and directories, the root included. Inodes are 1 to this."""
        return len(self._parents)

    @property
    def directories(self) -> int:
        """The number of directories, the root included."""
        return len(self._subdirectories)

    @property
    def files(self) -> int:
        """The number of files."""
        return len(self) - self.directories

    @property
    def file_bytes(self) -> int:
        """The sum of the files' sizes."""
        return int(self.arrays["file_bytes"][0])

    def with_chunks(self, checksums: NDArray[np.uint32], known: NDArray[np.uint8]) -> Index:
        """The same index with other checksums of chunks. Args: of the types and shapes in `ARRAYS`."""
        return Index({**self.arrays, "chunk_checksums": checksums, "chunks_known": known})

    def with_chunks_of(self, indexes: Sequence[Index]) -> Index:
        """The same index with what others know of chunks. Args: indexes, whose records, one after the other, are the
        records of this one."""
        if not any(index.arrays["chunks_known"].any() for index in indexes):
            return self
        checksums, known = [], []
        for index in indexes:
            given = len(index.arrays["chunks_known"]) > 0
            checksums.append(index.arrays["chunk_checksums"] if given else np.zeros(len(index.chunks), np.uint32))
            known.append(index.arrays["chunks_known"] if given else np.zeros(len(index.chunks.large), np.uint8))
        return self.with_chunks(np.concatenate(checksums), np.concatenate(known))

    def with_all_chunks(self, checksums: bytes) -> Index:
        """The same index with the checksums of all chunks, uint32, little-endian."""
        return self.with_chunks(np.frombuffer(checksums, "<u4"), np.ones(len(self.chunks.large), np.uint8))

    def lookup(self, parent: int, name: bytes) -> int:
        """The inode of `name` in the directory with inode `parent`, or 0 if there is none, or no such directory.

        Cost: a bisection of numbers, about 2 µs with a million names in the directory; no object kept.
        """
        directory = -1 - self._record_numbers[parent - 1] if parent <= len(self._parents) else -1
        if directory < 0:
            return 0
        prefix, keys, starts = self._prefixes[directory], self._keys, self._name_starts
        end = self._child_starts[directory + 1]
        key = int.from_bytes(name[prefix : prefix + KEY_BYTES].ljust(KEY_BYTES, b"\0"), "big")
        row = bisect.bisect_left(keys, key, self._child_starts[directory], end)
        if row == end or keys[row] != key:
            return 0
        if self._names[starts[row] : starts[row + 1]] == name:
            return row + 1
        if row + 1 == end or keys[row + 1] != key:
            return 0
        inodes = range(row + 1, bisect.bisect_right(keys, key, row, end) + 1)
        at = bisect.bisect_left(inodes, name, key=self.name)
        return inodes[at] if at < len(inodes) and self.name(inodes[at]) == name else 0

    def record(self, inode: int) -> int:
        """The record number of a file; negative for a directory."""
        return self._record_numbers[inode - 1]

    def inode(self, record: int) -> int:
        """The inode of a record's file; 0 if no file has the record."""
        return self._inodes[record]

    def is_directory(self, inode: int) -> bool:
        """Whether the inode is a directory."""
        return self._record_numbers[inode - 1] < 0

    def size(self, inode: int) -> int:
        """The size of a file in bytes; 0 for a directory."""
        record = self._record_numbers[inode - 1]
        return self.records.length(record) if record >= 0 else 0

    def links(self, inode: int) -> int:
        """The st_nlink of a file or directory: a directory has its name, its `.` and its subdirectories' `..`."""
        record = self._record_numbers[inode - 1]
        return 1 if record >= 0 else 2 + self._subdirectories[-1 - record]

    def parent(self, inode: int) -> int:
        """The inode of the directory that this one is in; the root is in itself."""
        return self._parents[inode - 1]

    def name(self, inode: int) -> bytes:
        """The name of a file or directory; empty for the root."""
        return bytes(self._names[self._name_starts[inode - 1] : self._name_starts[inode]])

    def children(self, inode: int) -> range:
        """The inodes in a directory, in the order of their names; empty for a file."""
        directory = -1 - self._record_numbers[inode - 1]
        if directory < 0:
            return range(0)
        return range(self._child_starts[directory] + 1, self._child_starts[directory + 1] + 1)

    def path(self, inode: int) -> bytes:
        """The path of a file or directory from the root, without a leading slash; empty for the root."""
        parts = []
        while inode != ROOT_INODE:
            parts.append(self.name(inode))
            inode = self.parent(inode)
        return b"/".join(reversed(parts))

    def walk(self, inode: int = ROOT_INODE) -> Iterator[int]:
        """All inodes below a directory, each directory before what is in it, names in order."""
        stack = [iter(self.children(inode))]
        while stack:
            child = next(stack[-1], None)
            if child is None:
                stack.pop()
                continue
            yield child
            if self.is_directory(child):
                stack.append(iter(self.children(child)))


def build_index(path: str, tree: Tree, records: Records) -> Index:
    """Sort the entries of a tree into rows and make them findable.

    Args: path, for errors.
    Raises: FormatError for a name that no file system can show (empty, `.`, `..`, with `/` or NUL, over 255 bytes), for
    one that a directory has twice, and for files whose sizes together are 2^63 bytes or more.
    Cost: O(n log n), about 0.4 µs an entry.
    """
    order = np.argsort(tree.owner, kind="stable")
    child_counts = np.bincount(tree.owner, minlength=tree.directories)
    child_starts = np.concatenate([[1], 1 + np.cumsum(child_counts)])
    names, lengths = _sorted_names(path, tree, order, child_starts)
    name_starts = np.zeros(len(lengths) + 2, np.int64)
    np.cumsum(lengths, out=name_starts[2:])
    del lengths

    record_numbers = np.empty(len(order) + 1, np.int32)
    record_numbers[0] = -1
    np.take(tree.records, order, out=record_numbers[1:])
    del order
    rows = np.flatnonzero(record_numbers < 0)
    inode_of_directory = np.empty(tree.directories, np.uint32)
    inode_of_directory[-1 - record_numbers[rows]] = rows + 1
    owners_of_directories = np.searchsorted(child_starts, rows[1:], "right") - 1
    files = np.flatnonzero(record_numbers >= 0)
    inodes = np.zeros(len(records), np.uint32)
    inodes[record_numbers[files]] = files + 1
    prefixes, keys = _lookup_columns(names, name_starts, child_starts)
    columns: dict[str, NDArray[Any]] = {
        "parents": np.repeat(np.insert(inode_of_directory, 0, ROOT_INODE), np.insert(child_counts, 0, 1)),
        "record_numbers": record_numbers,
        "name_starts": name_starts,
        "names": names,
        "child_starts": child_starts,
        "subdirectories": np.bincount(owners_of_directories, minlength=tree.directories),
        "prefixes": prefixes,
        "keys": keys,
        "offsets": records.offsets,
        "lengths": records.lengths,
        "checksums": records.checksums,
        "inodes": inodes,
        "first_records": records.first,
        "chunk_checksums": np.zeros(0, np.uint32),
        "chunks_known": np.zeros(0, np.uint8),
        "file_bytes": np.array([_file_bytes(path, records, record_numbers[files])]),
    }
    return Index({name: np.ascontiguousarray(columns[name], dtype) for name, dtype in Index.ARRAYS.items()})


def _file_bytes(path: str, records: Records, numbers: NDArray[np.int32]) -> int:
    total = sum_bytes(records.lengths[numbers])
    if total >= 1 << 63:
        raise FormatError(path, f"its files have {total} bytes together, which is more than any disk has")
    return total


def _lookup_columns(
    names: NDArray[np.uint8], name_starts: NDArray[np.int64], child_starts: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    prefixes = shared_prefixes(names, name_starts, child_starts)
    by_row = np.repeat(np.insert(prefixes, 0, 0), np.insert(np.diff(child_starts), 0, 1))
    keys = np.empty(len(by_row), np.uint64)
    for begin in range(0, len(keys), _CHUNK_ROWS):
        end = min(begin + _CHUNK_ROWS, len(keys))
        keys[begin:end] = lookup_keys(names, name_starts[begin : end + 1], by_row[begin:end])
    return prefixes, keys


def _sorted_names(
    path: str, tree: Tree, order: NDArray[np.int64], child_starts: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Sort the entries in each directory by name; `order`, which has them by directory, is changed in place.

    Returns: the names back to back, and the length of each.
    """
    starts, lengths = tree.starts[order], tree.lengths[order]
    _check_lengths(path, lengths)
    _check_repeated(path, tree)
    text = np.empty(int(lengths.sum(dtype=np.int64)), np.uint8)
    owner = np.repeat(np.arange(tree.directories, dtype=np.int32), np.diff(child_starts))
    unsorted = _scan_names(path, tree, starts, lengths, owner, text)
    for directory in unsorted:
        begin, end = int(child_starts[directory]) - 1, int(child_starts[directory + 1]) - 1
        _sort_run(path, tree, order, starts, lengths, begin, end)
    if unsorted:
        _scan_names(path, tree, starts, lengths, owner, text)
    return text, lengths


def _check_lengths(path: str, lengths: NDArray[np.int32]) -> None:
    wrong = np.flatnonzero((lengths < 1) | (lengths > MAX_NAME_BYTES))
    if len(wrong):
        raise FormatError(
            path, f"its tree of names is wrong: a name has {lengths[wrong[0]]} bytes, allowed are 1 to {MAX_NAME_BYTES}"
        )


def _check_repeated(path: str, tree: Tree) -> None:
    """Refuse a directory that has one text of the pickle twice as a name, before that is copied for each."""
    if (tree.starts[1:] > tree.starts[:-1]).all():
        return
    order = np.lexsort((tree.starts, tree.owner))
    owner, starts = tree.owner[order], tree.starts[order]
    twice = np.flatnonzero((owner[1:] == owner[:-1]) & (starts[1:] == starts[:-1]))
    if len(twice):
        entry = order[twice[0]]
        name = tree.text[tree.starts[entry] :][: tree.lengths[entry]].tobytes()
        raise FormatError(path, f"its tree of names is wrong: a directory has {name!r} twice")


def _scan_names(
    path: str,
    tree: Tree,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int32],
    owner: NDArray[np.int32],
    text: NDArray[np.uint8],
) -> list[int]:
    """Go once over all names, in the order given, and write them back to back into `text`.

    Returns: the directories whose names are not in ascending byte order. Raises: FormatError for a name that is not
    valid.
    """
    text_end = 0
    unsorted: set[int] = set()
    rows = max(_CHUNK_BYTES // (int(lengths.max(initial=0)) + 1), 1)
    for begin in range(0, len(starts), rows):
        count = min(rows, len(starts) - begin)
        chunk = slice(begin, begin + count + 1)  # one row of overlap, to compare across the chunk's border
        width = int(lengths[chunk].max()) + 1  # one NUL at least after each name
        is_name = np.arange(width) < lengths[chunk, None]
        padded = _rows(tree.text, starts[chunk], width)
        padded *= is_name
        piece = padded[:count][is_name[:count]]
        _check_names(path, padded[:count], piece, lengths[begin : begin + count])
        names = padded.view(f"S{width}").ravel()
        same_directory = owner[chunk][1:] == owner[chunk][:-1]
        wrong = np.flatnonzero(same_directory & (names[1:] <= names[:-1]))
        unsorted.update(np.unique(owner[begin + wrong]).tolist())
        text[text_end : text_end + len(piece)] = piece
        text_end += len(piece)
    return sorted(unsorted)


def _rows(text: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """The `width` bytes from each start, shape (starts, width); zeros where the text ends before."""
    rows = np.zeros((len(starts), width), np.uint8)
    inside = starts <= len(text) - width
    if inside.any():
        rows[inside] = np.lib.stride_tricks.sliding_window_view(text, width)[starts[inside]]
    for row in np.flatnonzero(~inside):
        rest = text[starts[row] :][:width]
        rows[row, : len(rest)] = rest
    return rows


def _check_names(path: str, padded: NDArray[np.uint8], text: NDArray[np.uint8], lengths: NDArray[np.int32]) -> None:
    """Args: the names of some rows, padded with NULs, shape (rows, width), and back to back."""
    dots = (padded[:, 0] == ord(".")) & ((lengths == 1) | ((lengths == 2) & (padded[:, 1] == ord("."))))
    if text.all() and not (text == ord("/")).any() and not dots.any():
        return
    for row, length in zip(padded, lengths.tolist(), strict=True):
        name = row[:length].tobytes()
        if name in (b".", b"..") or b"/" in name or b"\0" in name:
            raise FormatError(path, f"its tree of names is wrong: {name!r} is not a valid name")


def _sort_run(
    path: str,
    tree: Tree,
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int32],
    begin: int,
    end: int,
) -> None:
    """Sort one directory's entries by name, in place."""
    text = tree.text.data
    names = [
        bytes(text[s : s + n]) for s, n in zip(starts[begin:end].tolist(), lengths[begin:end].tolist(), strict=True)
    ]
    ranks = sorted(range(len(names)), key=names.__getitem__)
    for a, b in itertools.pairwise(ranks):
        if names[a] == names[b]:
            raise FormatError(path, f"its tree of names is wrong: a directory has {names[a]!r} twice")
    for column in (order, starts, lengths):
        column[begin:end] = column[begin:end][ranks]
