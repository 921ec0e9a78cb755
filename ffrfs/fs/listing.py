"""What READDIR and READDIRPLUS answer, packed for a whole run of names at a time by numpy. No I/O.

The position in a listing (the kernel's `off`) counts `.` and `..` first, then the children in the order of the index.
"""

from __future__ import annotations

import stat
from bisect import bisect_right
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffrfs.format.index import Index
from ffrfs.fs.attributes import BLOCK_BYTES, FOREVER_SECONDS, Attributes
from ffrfs.fuse.wire import DIRENT, DIRENT_ALIGN_BYTES, DIRENTPLUS

__all__ = ["Listings"]

_DOTS = 2  # a folder's first two entries
_PACKED_NAMES = 2048  # at once; a READDIRPLUS takes some 195 of them
_WORD_BYTES = DIRENT_ALIGN_BYTES
_KEPT = 8  # packed runs, of folders that are listed at the same time


class _Run:
    """Packed entries, one behind the other. Attributes: begin, the position of the first; ends, where in `data` each
    ends, beginning with 0."""

    __slots__ = ("begin", "data", "ends")

    def __init__(self, begin: int, data: memoryview, ends: list[int]) -> None:
        self.begin, self.data, self.ends = begin, data, ends


class Listings:
    """The listings of one worker. Args: index, attributes, of the archive."""

    def __init__(self, index: Index, attributes: Attributes) -> None:
        self._index, self._attributes = index, attributes
        self._runs: OrderedDict[tuple[int, bool, int], _Run] = OrderedDict()

    def read(self, inode: int, position: int, size: int, plus: bool) -> tuple[memoryview, int]:
        """The entries of a folder from a position on, as many as fit into `size` bytes; none behind the last.

        Returns: the bytes, and how many entries they are.
        """
        end = len(self._index.children(inode)) + _DOTS
        if not 0 <= position < end:
            return memoryview(b""), 0
        run = self._run(inode, position, min(position - position % _PACKED_NAMES + _PACKED_NAMES, end), plus)
        first = position - run.begin
        begin = run.ends[first]
        last = bisect_right(run.ends, begin + size) - 1
        return run.data[begin : run.ends[last]], last - first

    def _run(self, inode: int, position: int, end: int, plus: bool) -> _Run:
        begin = position - position % _PACKED_NAMES
        key = (inode, plus, begin)
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = self._pack(inode, begin, end, plus)
            if len(self._runs) > _KEPT:
                self._runs.popitem(last=False)
        return run

    def _pack(self, inode: int, begin: int, end: int, plus: bool) -> _Run:
        first_child = self._index.children(inode).start
        rows = np.arange(first_child - 1 + max(begin - _DOTS, 0), first_child - 1 + end - _DOTS)
        starts = self._index.arrays["name_starts"][rows[0] : rows[-1] + 2] if len(rows) else np.zeros(1, np.int64)
        names = self._index.arrays["names"][starts[0] : starts[-1]]
        lengths = np.diff(starts)
        inodes = rows + 1
        if begin == 0:
            names = np.concatenate([np.frombuffer(b"...", np.uint8), names])
            lengths = np.concatenate([[1, 2], lengths])
            inodes = np.concatenate([[inode, self._index.parent(inode)], inodes])
        return self._packed(begin, inodes, names, lengths, plus)

    def _packed(
        self, begin: int, inodes: NDArray[np.int64], names: NDArray[np.uint8], lengths: NDArray[np.int64], plus: bool
    ) -> _Run:
        heads = np.zeros(len(inodes), DIRENTPLUS if plus else DIRENT)
        records = self._index.arrays["record_numbers"][inodes - 1]
        if plus:
            self._fill_attributes(heads, inodes, records)
            if begin == 0:
                heads["nodeid"][:_DOTS] = 0  # the kernel wants no inodes of the dots
        heads["ino"], heads["off"] = inodes, begin + 1 + np.arange(len(inodes))
        heads["namelen"] = lengths
        heads["type"] = np.where(records < 0, stat.S_IFDIR >> 12, stat.S_IFREG >> 12)
        head_bytes = heads.dtype.itemsize
        sizes = head_bytes + lengths
        sizes += -sizes % DIRENT_ALIGN_BYTES
        ends = np.concatenate([[0], np.cumsum(sizes)])
        words = np.zeros(ends[-1] // _WORD_BYTES, np.uint64)  # of which each entry is a whole number
        head_words = head_bytes // _WORD_BYTES
        words[ends[:-1, None] // _WORD_BYTES + np.arange(head_words)] = heads.view(np.uint64).reshape(-1, head_words)
        data = words.view(np.uint8)
        name_starts = np.cumsum(lengths) - lengths  # in `names`
        data[np.repeat(ends[:-1] + head_bytes - name_starts, lengths) + np.arange(len(names))] = names
        return _Run(begin, memoryview(data), ends.tolist())

    def _fill_attributes(self, heads: NDArray[Any], inodes: NDArray[np.int64], records: NDArray[np.int32]) -> None:
        attributes, arrays = self._attributes, self._index.arrays
        folders = records < 0
        heads["nodeid"] = heads["attr_ino"] = inodes
        heads["entry_valid"] = heads["attr_valid"] = FOREVER_SECONDS
        sizes = np.zeros(len(inodes), np.int64)
        sizes[~folders] = arrays["lengths"][records[~folders]]
        heads["attr_size"], heads["attr_blocks"] = sizes, (sizes + 511) >> 9
        seconds, nanoseconds = attributes.time
        for name in ("attr_atime", "attr_mtime", "attr_ctime"):
            heads[name] = seconds
        for name in ("atimensec", "mtimensec", "ctimensec"):
            heads[name] = nanoseconds
        heads["mode"] = np.where(folders, attributes.folder_mode, attributes.file_mode)
        heads["nlink"] = 1
        heads["nlink"][folders] = 2 + arrays["subdirectories"][-1 - records[folders]]
        heads["uid"], heads["gid"] = attributes.owner
        heads["blksize"] = BLOCK_BYTES
