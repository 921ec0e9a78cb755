"""What a worker tells the prefetcher: runs that it sees in the READs, what users announce, and folders to list."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ffrfs.format.index import Index
from ffrfs.fs.prefetch.packets import Kind, Packets
from ffrfs.fs.state import RUN_OWNER, SharedState

__all__ = ["NEAR_RECORDS", "RUNS", "Announcer"]

# A run: files near each other in the archive, begun in its order. Several workers and readers share one, so it has
# gaps.
NEAR_RECORDS = 16
RUNS = 4  # kept apart by one worker
_RUN_LENGTH = 4
_REPORT_EVERY = 8

_LISTED = (1 << 16) - 1
_LOOKUPS_TO_LIST = 16  # and one for each 32 names: an inode costs the kernel 1.1 kB
_NAMES_A_LOOKUP = 32


class _Run:
    """One run that a worker follows."""

    __slots__ = ("high", "next_report", "seen")

    def __init__(self, record: int) -> None:
        self.high, self.seen, self.next_report = record, 0, 0


class Announcer:
    """Made before the fork; each worker follows the runs that it sees. Args: index; state; packets, to the prefetcher;
    folders, whether it can list them."""

    def __init__(self, index: Index, state: SharedState, packets: Packets, folders: bool = True) -> None:
        self._index, self._state, self._packets, self._folders = index, state, packets, folders
        self._runs: deque[_Run] = deque(maxlen=RUNS)

    def began(self, record: int) -> None:
        """A READ at the beginning of a file that was not read ahead."""
        for run in self._runs:
            if -NEAR_RECORDS <= record - run.high <= NEAR_RECORDS:
                break
        else:
            self._runs.append(_Run(record))
            return
        run.seen += 1
        run.high = max(run.high, record)
        if run.seen >= _RUN_LENGTH and record >= run.next_report:
            run.next_report = record + _REPORT_EVERY
            self._packets.send(Kind.RUN, [record])

    def passed(self, record: int, owner: int) -> None:
        """A READ of a file that was left out when it was read ahead for an owner. Two workers may count one mark once;
        then the prefetcher is woken one mark later."""
        if owner == RUN_OWNER:
            self._packets.send(Kind.RUN, [record])
        self._count_down(1)

    def announce(self, uid: int, inodes: list[int]) -> None:
        """A user said that he will read these next."""
        self._packets.send(Kind.HINT, [uid, *inodes])

    def looked_up(self, folder: int) -> None:
        """A name in a folder was looked up, and is there."""
        if not self._folders:
            return
        number = -1 - self._index.record(folder)
        seen = self._state.looked_up[number]
        if seen == _LISTED:
            return
        self._state.looked_up[number] = seen = seen + 1
        names = len(self._index.children(folder))
        if seen >= min(max(_LOOKUPS_TO_LIST, names // _NAMES_A_LOOKUP), _LISTED - 1) and names > seen:
            self._state.looked_up[number] = _LISTED
            self._packets.send(Kind.LIST, [folder])

    def listed(self, folder: int) -> None:
        """A folder was listed, so the kernel knows its names."""
        self._state.looked_up[-1 - self._index.record(folder)] = _LISTED

    def forgotten(self, inodes: NDArray[np.int64]) -> None:
        """The kernel has forgotten these, and with a folder all names in it."""
        records = self._index.arrays["record_numbers"][inodes - 1]
        folders = records[records < 0]
        if len(folders):
            np.frombuffer(self._state.looked_up, np.uint16)[-1 - folders] = 0
        self._count_down(len(inodes))

    def _count_down(self, marks: int) -> None:
        wanted = self._state.wanted_marks[0]
        if wanted:
            self._state.wanted_marks[0] = max(wanted - marks, 0)
            if wanted <= marks:
                self._packets.send(Kind.WAKE)
