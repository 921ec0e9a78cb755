"""What each worker has in hand, so that the supervisor knows it when one has died: shared memory, a row for each.

Needed where the kernel sends the requests of a dead worker again (FUSE_NOTIFY_RESEND), and with them those that living
workers still have. Which of them to answer: see `Server`.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator

from ffrfs.fuse.wire import RESENT

__all__ = ["Hand", "Hands", "Resent"]

_SLOTS = 512  # of a row; the first is for what the receiving thread does, the others for what waits for storage
_SUSPECTS = 1024  # the oldest are forgotten
_UNIQUE = struct.Struct("<Q")


class Hands:
    """Args: workers, how many rows there are. Numbers of requests are kept without the mark of resent ones."""

    def __init__(self, workers: int) -> None:
        self._hands_bytes = workers * _SLOTS * 8
        self._memory = mmap.mmap(-1, self._hands_bytes + _SUSPECTS * 8)
        whole = memoryview(self._memory)
        self._rows = [whole[row * _SLOTS * 8 : (row + 1) * _SLOTS * 8].cast("Q") for row in range(workers)]
        self._suspects = whole[self._hands_bytes :].cast("Q")
        self._next_suspect = 0

    def row(self, worker: int) -> memoryview:
        """The row of a worker."""
        return self._rows[worker]

    def take_from(self, worker: int) -> list[int]:
        """What a worker had in hand that has died; it has nothing any longer."""
        row = self._rows[worker]
        held = [unique for unique in row if unique]
        row[:] = memoryview(bytes(row.nbytes)).cast("Q")
        return held

    def received(self, worker: int) -> int:
        """The request that the worker's receiving thread has just now, or 0."""
        return int(self._rows[worker][0])

    def any_held(self) -> bool:
        """Whether some worker has any request in hand."""
        return any(any(row) for row in self._rows)

    def is_held(self, unique: int) -> bool:
        """Whether some worker has the request in hand."""
        return next(self._found(unique, 0, self._hands_bytes), None) is not None

    def suspect(self, unique: int) -> None:
        """A worker died with this request in hand."""
        if not self.is_suspect(unique):
            self._suspects[self._next_suspect % _SUSPECTS] = unique
            self._next_suspect += 1

    def acquit(self, unique: int) -> None:
        """The request was answered."""
        for place in self._found(unique, self._hands_bytes, len(self._memory)):
            self._suspects[(place - self._hands_bytes) // 8] = 0

    def is_suspect(self, unique: int) -> bool:
        """Whether a worker has died with the request in hand."""
        return next(self._found(unique, self._hands_bytes, len(self._memory)), None) is not None

    def _found(self, unique: int, begin: int, end: int) -> Iterator[int]:
        wanted = _UNIQUE.pack(unique)
        place = self._memory.find(wanted, begin, end)
        while place >= 0:
            if place % 8 == 0:
                yield place
            place = self._memory.find(wanted, place + 1, end)


class Hand:
    """One worker's own row. Used from its threads; a slot has one user at a time."""

    def __init__(self, hands: Hands, worker: int) -> None:
        self._row = hands.row(worker)
        self._free = list(range(1, _SLOTS))

    def hold(self, unique: int) -> None:
        """The receiving thread has taken a request."""
        self._row[0] = unique & ~RESENT

    def drop(self) -> None:
        """The receiving thread is done with it."""
        self._row[0] = 0

    def keep(self, unique: int) -> int:
        """A request that waits for storage. Returns: its slot, or 0 where none is free and nothing is noted."""
        if not self._free:
            return 0
        slot = self._free.pop()
        self._row[slot] = unique & ~RESENT
        return slot

    def give_back(self, slot: int) -> None:
        """It no longer waits."""
        if slot:
            self._row[slot] = 0
            self._free.append(slot)


class Resent:
    """How requests that come again are told apart, where the kernel sends them. Args: hands, of all workers; hand, this
    worker's; pass_on, called with a request that a worker has died of, perhaps."""

    def __init__(self, hands: Hands, hand: Hand, pass_on: Callable[[memoryview], None]) -> None:
        self._hands, self.hand, self._pass_on = hands, hand, pass_on

    def is_for_others(self, unique: int, request: memoryview) -> bool:
        """Whether somebody else answers this resent request."""
        number = unique & ~RESENT
        if self._hands.is_suspect(number):
            self._pass_on(request)
            return True
        return self._hands.is_held(number)
