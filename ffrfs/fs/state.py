"""What the processes of one mount share: which records were checked, what was read ahead, and counters.

One anonymous shared mapping, made before the first fork. A byte or an aligned word has one writer at a time or writers
that agree on the value, so there are no locks.
"""

from __future__ import annotations

import mmap
import os

from ffrfs.fs.counters import HISTOGRAM, NAMES

__all__ = ["BAD", "FIRST_MARK", "GOOD", "OWNERS", "READ", "RUN_OWNER", "UNCHECKED", "UNREAD", "SharedState"]

UNCHECKED, GOOD, BAD = 0, 1, 2  # of a record
# Of a file: nothing is known of its pages in the kernel; they were stored or read; or it was left out on purpose when
# it was read ahead, so that its READ tells how far the reader is: FIRST_MARK and the number of who it was read for.
UNREAD, READ, FIRST_MARK = 0, 1, 2
OWNERS, RUN_OWNER = 16, 0  # for whom files are read ahead: number 0 is for runs, the others are users who announce

_ROW_BYTES = 8 * len(NAMES)
_OWNERS_BYTES = 8 * OWNERS


class SharedState:
    """The shared memory of a mount.

    Args: rows, of counters, each with one writer; records, inodes, folders, how many there are of each.
    Attributes: checked, one byte a record (UNCHECKED, GOOD, BAD); pages, one byte an inode (UNREAD, READ, marks);
    counters, rows of uint64 by `NAMES`; passed, rows of uint64, how many marks of each owner were read or forgotten;
    wanted_marks, one uint64, after how many passed marks the prefetcher is to be woken, or 0; looked_up, one uint16 a
    folder, how many names were looked up in it since it was listed.
    """

    def __init__(self, rows: int, records: int, inodes: int, folders: int = 1) -> None:
        self._fd = os.memfd_create("ffrfs", os.MFD_CLOEXEC)
        sizes = (rows * _ROW_BYTES, rows * _OWNERS_BYTES, 8, 2 * folders, records, inodes + 1)
        os.ftruncate(self._fd, sum(sizes))
        whole = memoryview(mmap.mmap(self._fd, sum(sizes)))
        ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
        counters, passed, wanted, looked_up, self.checked, self.pages = (
            whole[end - size : end] for end, size in zip(ends, sizes, strict=True)
        )
        self.counters = [counters[row * _ROW_BYTES :][:_ROW_BYTES].cast("Q") for row in range(rows)]
        self.passed = [passed[row * _OWNERS_BYTES :][:_OWNERS_BYTES].cast("Q") for row in range(rows)]
        self.wanted_marks, self.looked_up = wanted.cast("Q"), looked_up.cast("H")

    def totals(self) -> dict[str, int]:
        """All counters but the histogram, summed over the processes."""
        totals = self._sums()
        return {name: totals[name] for name in NAMES if name not in HISTOGRAM}

    def histogram(self) -> list[int]:
        """How many READs there were in each bucket of time."""
        totals = self._sums()
        return [totals[name] for name in HISTOGRAM]

    def passed_marks(self, owner: int) -> int:
        """How many marks of an owner were read, or forgotten by the kernel."""
        return sum(row[owner] for row in self.passed)

    def _sums(self) -> dict[str, int]:
        return {name: sum(row[column] for row in self.counters) for column, name in enumerate(NAMES)}
