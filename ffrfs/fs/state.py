"""What the processes of one mount share: which records were checked, which files were filled, and counters.

One anonymous shared mapping, made before the first fork. A byte or an aligned word has one writer at a time or writers
that agree on the value, so there are no locks.
"""

from __future__ import annotations

import mmap
import os

__all__ = [
    "BAD",
    "COUNTERS",
    "EMPTY",
    "FILLED",
    "GOOD",
    "HISTOGRAM_BUCKETS",
    "PREFETCHED",
    "UNCHECKED",
    "SharedState",
]

UNCHECKED, GOOD, BAD = 0, 1, 2  # of a record
EMPTY, FILLED, PREFETCHED = 0, 1, 2  # of a file in the page cache; PREFETCHED until a reader opens it

# Every process counts in a row of its own. The histogram's bucket b counts READs answered in less than 2**b µs.
HISTOGRAM_BUCKETS = 28
COUNTERS = (
    "lookups",
    "negative_lookups",
    "getattrs",
    "opens",
    "releases",
    "forgets",
    "readdirs",
    "readdir_entries",
    "statfs",
    "reads",
    "read_bytes",
    "reads_waited",  # READs whose data was not in the page cache below, so that a thread waited for it
    "fills",
    "fill_bytes",
    "prefetched",
    "prefetched_bytes",
    "prefetch_hits",
    "prefetch_hit_bytes",
    "prefetch_windows",
    "hints",
    "checksum_failures",
    "io_errors",
    "internal_errors",
    "worker_starts",
    "slow_reads",
    *(f"read_us_{bucket}" for bucket in range(HISTOGRAM_BUCKETS)),
)
_ROW_BYTES = 8 * len(COUNTERS)
_HIT_BYTES = COUNTERS.index("prefetch_hit_bytes")
_HANDLE_SLOTS = 1 << 14  # files with the same remainder share one; some hundreds are open at a time


class SharedState:
    """The shared memory of a mount.

    Args: processes, rows of counters; records, inodes, how many there are of each.
    Attributes: checked, one byte a record (UNCHECKED, GOOD, BAD); filled, one byte an inode, whether its data was put
    into the page cache and not yet forgotten by the kernel (EMPTY, FILLED, PREFETCHED); counters, one row of uint64 a
    process, by `COUNTERS`; wanted_opens, one uint64, after how many opened files the prefetcher is to be woken, or 0.
    """

    def __init__(self, processes: int, records: int, inodes: int) -> None:
        self._fd = os.memfd_create("ffrfs", os.MFD_CLOEXEC)
        self._processes = processes
        counters_end = processes * _ROW_BYTES + 8
        handles_end = counters_end + _HANDLE_SLOTS * processes * 8
        checked_end = handles_end + records
        os.ftruncate(self._fd, checked_end + inodes + 1)
        self._memory = mmap.mmap(self._fd, checked_end + inodes + 1)
        whole = memoryview(self._memory)
        self.counters = [whole[row * _ROW_BYTES : (row + 1) * _ROW_BYTES].cast("Q") for row in range(processes)]
        self.wanted_opens = whole[counters_end - 8 : counters_end].cast("Q")
        # One word for each process that answers requests, so that each has one writer: it adds what that process has
        # opened and subtracts what it has released, whoever opened it. Their sum is how many handles there are.
        self._handles = whole[counters_end:handles_end].cast("q")
        self.checked = whole[handles_end:checked_end]
        self.filled = whole[checked_end:]

    def opened(self, process: int, inode: int) -> None:
        """Count a handle that a process is about to give out. Nothing is lost when it is killed, so a later process in
        its place goes on from there; at worst, a handle that was never given out stays counted."""
        self._handles[inode % _HANDLE_SLOTS * self._processes + process] += 1

    def released(self, process: int, inode: int) -> None:
        """Count a handle that the process was told to forget."""
        self._handles[inode % _HANDLE_SLOTS * self._processes + process] -= 1

    def handles(self, inode: int) -> int:
        """How many handles there are of a file, and of those that share its slot. Never too few."""
        first = inode % _HANDLE_SLOTS * self._processes
        return sum(self._handles[first : first + self._processes])

    def totals(self) -> dict[str, int]:
        """All counters, summed over the processes."""
        return {name: sum(row[column] for row in self.counters) for column, name in enumerate(COUNTERS)}

    def consumed_bytes(self) -> int:
        """How many prefetched bytes readers have opened, or the kernel has forgotten."""
        return sum(row[_HIT_BYTES] for row in self.counters)
