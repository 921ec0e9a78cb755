"""Windows ahead of runs: what to read when a reader has come to a record. Pure."""

from __future__ import annotations

from typing import NamedTuple

from ffrfs.format.records import Records
from ffrfs.fs.prefetch.announcer import NEAR_RECORDS, RUNS

__all__ = ["Window", "Windows"]

_FIRST_BYTES = 1 << 20
_MAX_BYTES = 1 << 25
_KEPT = 4 * RUNS


class Window(NamedTuple):
    """Records to read ahead of a run. Attributes: mark, the one whose READ asks for the next window."""

    records: range
    mark: int


class Windows:
    """The windows of the runs that are followed. Args: records, of the archive; max_bytes, the budget."""

    def __init__(self, records: Records, max_bytes: int) -> None:
        self._records = records
        self._max_bytes = max(min(_MAX_BYTES, max_bytes // 4), 1)
        self._ahead: dict[int, tuple[int, int]] = {}  # end of a window (record) -> (its begin, bytes)

    def next(self, record: int) -> Window | None:
        """A reader is at `record`: a window ahead of it, twice the last one; None if it has half a window ahead."""
        first, window_bytes = record + 1, min(_FIRST_BYTES, self._max_bytes)
        for end, (begin, last_bytes) in self._ahead.items():
            if begin - NEAR_RECORDS <= record < end + NEAR_RECORDS:
                if record < begin + (end - begin) // 2:
                    return None
                del self._ahead[end]
                first, window_bytes = max(end, record + 1), min(2 * last_bytes, self._max_bytes)
                break
        end, total = first, 0
        while end < len(self._records) and total < window_bytes:
            total += self._records.length(end)
            end += 1
        if len(self._ahead) >= _KEPT:
            self._ahead.pop(next(iter(self._ahead)))
        self._ahead[end] = (first, window_bytes)
        return Window(range(first, end), first + (end - first) // 2)
