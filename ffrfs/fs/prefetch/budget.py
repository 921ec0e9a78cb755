"""How much was read ahead and is not read yet, for each owner: pure accounting.

Nobody tells which stored files were read. So of the files read ahead, the one that fills up another 64th of the budget
is a mark: it is left out of the kernel's page cache, and its READ tells that the reader has come so far. A mark stands
for the bytes since the one before, whatever became of them: files that the kernel refused count too.
"""

from __future__ import annotations

from collections import deque

from ffrfs.fs.state import OWNERS

__all__ = ["Budget", "Progress"]

_MARKS = 64
_PATIENCE_SECONDS = 10.0


class Progress:
    """Tells when readers have stopped to read what was fetched: nothing was, for 10 s, then 20 s, 40 s, …

    Attributes: since, when they were last seen to go on, or there was room; patience_seconds.
    """

    def __init__(self) -> None:
        self._passed, self.since, self.patience_seconds = -1, 0.0, _PATIENCE_SECONDS

    def has_room(self, now: float) -> None:
        """Nothing waits for the readers."""
        self.since = now

    def stalled(self, passed: int, now: float) -> bool:
        """Whether nothing has happened for too long.

        Args: passed, how many marks were passed so far; now, a monotonic time in seconds.
        """
        if passed != self._passed:
            self._passed, self.since, self.patience_seconds = passed, now, _PATIENCE_SECONDS
        return now - self.since >= self.patience_seconds

    def give_up(self, now: float) -> None:
        """Begin anew, with more patience."""
        self.since, self.patience_seconds = now, 2 * self.patience_seconds


class _Ahead:
    """What was read ahead for one owner."""

    __slots__ = ("marks", "passed", "reading_bytes", "unmarked_bytes")

    def __init__(self, passed: int) -> None:
        self.marks: deque[int] = deque()  # bytes that each stands for, the oldest first
        self.unmarked_bytes = self.reading_bytes = 0
        self.passed = passed

    def bytes(self) -> int:
        return sum(self.marks) + self.unmarked_bytes + self.reading_bytes


class Budget:
    """Args: max_bytes, what may be ahead of all readers together; passed, of each owner, how many marks were passed
    before. An owner may have its share of it: as many as have something to read ahead share it evenly."""

    def __init__(self, max_bytes: int, passed: list[int]) -> None:
        self.max_bytes = max_bytes
        self._mark_bytes = max(max_bytes // _MARKS, 1)
        self._ahead = [_Ahead(passed[owner]) for owner in range(OWNERS)]

    def share_bytes(self, active: int) -> int:
        """What one of so many owners may have ahead."""
        return max(self.max_bytes // max(active, 1), 1)

    def has_room(self, owner: int, passed: int, active: int) -> bool:
        """Whether more may be read for the owner, of whose marks so many were passed so far."""
        ahead = self._ahead[owner]
        for _ in range(passed - ahead.passed):
            if ahead.marks:  # else it is one from before, which was given up
                ahead.marks.popleft()
        ahead.passed = passed
        return ahead.bytes() < self.share_bytes(active)

    def begin(self, owner: int, size_bytes: int) -> None:
        """So much is being read."""
        self._ahead[owner].reading_bytes += size_bytes

    def end(self, owner: int, size_bytes: int) -> None:
        """It is no longer being read; each file in it was `fetched`."""
        self._ahead[owner].reading_bytes -= size_bytes

    def fetched(self, owner: int, size_bytes: int, marked: bool = False) -> bool:
        """A file was read ahead. Returns: whether it is a mark; always if `marked`."""
        ahead = self._ahead[owner]
        ahead.unmarked_bytes += size_bytes
        if ahead.unmarked_bytes < self._mark_bytes and not marked:
            return False
        ahead.marks.append(ahead.unmarked_bytes)
        ahead.unmarked_bytes = 0
        return True

    def marks(self, owner: int) -> int:
        """How many marks of the owner's are ahead."""
        return len(self._ahead[owner].marks)

    def give_up(self, owner: int) -> None:
        """What is ahead for the owner is no longer waited for."""
        self._ahead[owner].marks.clear()
        self._ahead[owner].unmarked_bytes = 0
