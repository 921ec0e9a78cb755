"""The index of an archive: its tree and records as flat arrays, and the lookup in them. No I/O.

Row 0 is the root; the inode of a row is the row plus one, so the root is inode 1. The children of a directory are one
contiguous run of rows, sorted by name. There is no Python object for a file; `arrays` and `from_arrays` carry an index
to and from a file that every process maps (see `ffrfs.archive.index_file`).
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ffrfs.errors import FormatError
from ffrfs.format.header import crc32
from ffrfs.format.records import Records
from ffrfs.format.tree import MAX_NAME_BYTES, Tree

__all__ = ["ROOT_INODE", "Index", "build_index"]

ROOT_INODE = 1
_PARENT_FACTOR = 0x9E3779B1  # spreads a name that many directories have; odd, from the golden ratio
_MAX_BUCKET = 32  # names with one hash; even in ten million, chance makes no more than about a dozen
_CHUNK_ROWS = 1 << 14  # rows handled at once while building: bounds the memory for padded names to a few MiB


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
        "bucket_starts": "<u4",  # (buckets + 1,) positions in bucket_rows; buckets is a power of two
        "bucket_rows": "<u4",  # (rows - 1,) rows by hash of (parent, name)
        "offsets": "<i8",  # (records,)
        "lengths": "<i8",  # (records,)
        "checksums": "<u4",  # (records,)
        "inodes": "<u4",  # (records,) the inode of each record's file, 0 where no file has it
        "first_records": "<i8",  # (shards + 1,)
        "file_bytes": "<i8",  # (1,) the sum of the files' sizes
    }

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.arrays = arrays
        self.records = Records(
            arrays["offsets"],
            arrays["lengths"],
            arrays["checksums"],
            arrays["first_records"],
        )
        self._parents = memoryview(arrays["parents"])
        self._record_numbers = memoryview(arrays["record_numbers"])
        self._name_starts = memoryview(arrays["name_starts"])
        self._names = memoryview(arrays["names"])
        self._child_starts = memoryview(arrays["child_starts"])
        self._subdirectories = memoryview(arrays["subdirectories"])
        self._inodes = memoryview(arrays["inodes"])
        self._bucket_starts = memoryview(arrays["bucket_starts"])
        self._bucket_rows = memoryview(arrays["bucket_rows"])
        self._bucket_mask = len(self._bucket_starts) - 2

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

    def lookup(self, parent: int, name: bytes) -> int:
        """The inode of `name` in the directory with inode `parent`, or 0 if there is none.

        Cost: one or two comparisons on average, under 2 µs, no object kept.
        """
        bucket = (crc32(name) ^ parent * _PARENT_FACTOR) & self._bucket_mask
        starts, names = self._name_starts, self._names
        begin, end = self._bucket_starts[bucket], self._bucket_starts[bucket + 1]
        if end - begin > _MAX_BUCKET:
            return self._lookup_sorted(parent, name)
        for position in range(begin, end):
            row = self._bucket_rows[position]
            if self._parents[row] == parent and names[starts[row] : starts[row + 1]] == name:
                return row + 1
        return 0

    def _lookup_sorted(self, parent: int, name: bytes) -> int:
        """As `lookup`, in the order of names: for names that were chosen to have the same hash."""
        children = self.children(parent)
        at = bisect.bisect_left(children, name, key=self.name)
        return children[at] if at < len(children) and self.name(children[at]) == name else 0

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
    Raises: FormatError for a name that no file system can show (empty, `.`, `..`, with `/` or NUL, over 255 bytes) and
    for one that a directory has twice.
    Cost: O(n log n), about 0.4 µs an entry.
    """
    order = np.argsort(tree.owner, kind="stable")
    starts, lengths = tree.starts[order], tree.lengths[order]
    _check_lengths(path, lengths)
    child_counts = np.bincount(tree.owner, minlength=tree.directories)
    child_starts = np.concatenate([[1], 1 + np.cumsum(child_counts)])
    owner = np.repeat(np.arange(tree.directories, dtype=np.int32), child_counts)
    names, crcs, unsorted = _scan_names(path, tree, starts, lengths, owner)
    if unsorted:
        for directory in unsorted:
            begin, end = int(child_starts[directory]) - 1, int(child_starts[directory + 1]) - 1
            _sort_run(path, tree, order, starts, lengths, begin, end)
        names, crcs, _ = _scan_names(path, tree, starts, lengths, owner)

    record_numbers = tree.records[order]  # without the root's, which is row 0
    rows = np.flatnonzero(record_numbers < 0)
    inode_of_directory = np.empty(tree.directories, np.uint32)
    inode_of_directory[0] = ROOT_INODE
    inode_of_directory[-1 - record_numbers[rows]] = rows + 2  # an inode is a row plus one
    parents = inode_of_directory[owner]
    bucket_starts, bucket_rows = _buckets(crcs, parents)
    files = np.flatnonzero(record_numbers >= 0)
    inodes = np.zeros(len(records), np.uint32)
    inodes[record_numbers[files]] = files + 2
    columns: dict[str, NDArray[Any]] = {
        "parents": np.insert(parents, 0, ROOT_INODE),
        "record_numbers": np.insert(record_numbers, 0, -1),
        "name_starts": np.concatenate([[0, 0], np.cumsum(lengths, dtype=np.int64)]),
        "names": names,
        "child_starts": child_starts,
        "subdirectories": np.bincount(owner[rows], minlength=tree.directories),
        "bucket_starts": bucket_starts,
        "bucket_rows": bucket_rows,
        "offsets": records.offsets,
        "lengths": records.lengths,
        "checksums": records.checksums,
        "inodes": inodes,
        "first_records": records.first,
        "file_bytes": records.lengths[record_numbers[files]].sum(keepdims=True),
    }
    return Index({name: np.ascontiguousarray(columns[name], dtype) for name, dtype in Index.ARRAYS.items()})


def _check_lengths(path: str, lengths: NDArray[np.int32]) -> None:
    wrong = np.flatnonzero((lengths < 1) | (lengths > MAX_NAME_BYTES))
    if len(wrong):
        raise FormatError(
            path, f"its tree of names is wrong: a name has {lengths[wrong[0]]} bytes, allowed are 1 to {MAX_NAME_BYTES}"
        )


def _scan_names(
    path: str, tree: Tree, starts: NDArray[np.int64], lengths: NDArray[np.int32], owner: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint32], list[int]]:
    """Go once over all names, in the order given.

    Returns: the names back to back; the CRC32 of each, shape (entries,); the directories whose names are not in
    ascending byte order. Raises: FormatError for a name that is no file name.
    """
    width = int(lengths.max(initial=0)) + 1  # one NUL at least after each name
    crcs = np.empty(len(starts), np.uint32)
    text = np.empty(lengths.sum(), np.uint8)
    text_end = 0
    unsorted: set[int] = set()
    for begin in range(0, len(starts), _CHUNK_ROWS):
        count = min(_CHUNK_ROWS, len(starts) - begin)
        chunk = slice(begin, begin + count + 1)  # one row of overlap, to compare across the chunk's border
        is_name = np.arange(width) < lengths[chunk, None]
        padded = _rows(tree.text, starts[chunk], width) * is_name
        _check_names(path, padded, is_name, lengths[chunk])
        names = padded.view(f"S{width}").ravel()
        same_directory = owner[chunk][1:] == owner[chunk][:-1]
        wrong = np.flatnonzero(same_directory & (names[1:] <= names[:-1]))
        unsorted.update(np.unique(owner[begin + wrong]).tolist())
        piece = padded[:count][is_name[:count]]
        text[text_end : text_end + len(piece)] = piece
        text_end += len(piece)
        crcs[begin : begin + count] = _crc32_of_rows(padded[:count], lengths[begin : begin + count])
    return text, crcs, sorted(unsorted)


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


def _crc32_of_rows(rows: NDArray[np.uint8], lengths: NDArray[np.int32]) -> NDArray[np.uint32]:
    """zlib's CRC32 of the first `lengths[i]` bytes of each row i, shape (rows,), a column at a time."""
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in range(rows.shape[1]):
        going = lengths > column
        if not going.any():
            break
        following = _CRC_TABLE[(crc ^ rows[:, column]) & 0xFF] ^ (crc >> np.uint32(8))
        crc = np.where(going, following, crc)
    return crc ^ np.uint32(0xFFFFFFFF)


def _crc_table() -> NDArray[np.uint32]:
    """The table of the CRC32's polynomial: crc32 of one byte b is table[b ^ 0xFF] ^ 0xFF000000."""
    return np.array([crc32(bytes([byte ^ 0xFF])) ^ 0xFF000000 for byte in range(256)], np.uint32)


def _check_names(path: str, padded: NDArray[np.uint8], is_name: NDArray[np.bool_], lengths: NDArray[np.int32]) -> None:
    wrong = ((padded == ord("/")) | ((padded == 0) & is_name)).any(axis=1)
    dots = (padded[:, 0] == ord(".")) & ((lengths == 1) | ((lengths == 2) & (padded[:, 1] == ord("."))))
    rows = np.flatnonzero(wrong | dots)
    if len(rows):
        name = padded[rows[0]][is_name[rows[0]]].tobytes()
        raise FormatError(path, f"its tree of names is wrong: {name!r} is no file name")


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


def _buckets(crcs: NDArray[np.uint32], parents: NDArray[np.uint32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows by bucket, as a list of lists in two arrays; as many buckets as rows, rounded up to a power of two."""
    count = 1 << max(len(crcs) - 1, 0).bit_length()
    # Sorting bucket and row as one number is several times faster than an argsort.
    pairs = parents.astype(np.uint64)
    pairs *= _PARENT_FACTOR
    pairs ^= crcs
    pairs &= count - 1
    pairs <<= 32
    pairs |= np.arange(1, len(crcs) + 1, dtype=np.uint32)
    pairs.sort()
    sizes = np.bincount((pairs >> 32).view(np.int64), minlength=count)
    return np.concatenate([[0], np.cumsum(sizes)]), pairs & 0xFFFFFFFF


_CRC_TABLE = _crc_table()
