"""The prefetching process: takes what workers tell, and has it read when there is room for it.

Memory is bounded by what may be in the page cache and not yet read (`Budget`); workers count the marks that readers
pass, and wake this process when it waits for that. It answers no request, so it may wait for a locked page without
harm, and its reads run beside the demanded ones.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from ffrfs.format.index import Index
from ffrfs.fs.counters import position
from ffrfs.fs.prefetch.announcer import RUNS
from ffrfs.fs.prefetch.budget import Budget, Progress
from ffrfs.fs.prefetch.fetch import Fetcher
from ffrfs.fs.prefetch.folders import FolderLister
from ffrfs.fs.prefetch.packets import Kind, Packets
from ffrfs.fs.prefetch.queue import Announcements
from ffrfs.fs.prefetch.window import Windows
from ffrfs.fs.state import RUN_OWNER, SharedState

__all__ = ["Prefetcher"]

_BATCH_RECORDS = 256
_BATCH_BYTES = 1 << 25
_LOOK_SECONDS = 1.0  # whether readers still follow, while something waits for room

_Job = tuple[int, list[int], int]  # owner, records, the one that is a mark in any case


class Prefetcher:
    """Args: index; state, and count, this process's row; packets, from the workers; budget, changed, fetcher, which
    reads; folders, which lists, or None."""

    def __init__(
        self,
        index: Index,
        state: SharedState,
        count: memoryview,
        packets: Packets,
        budget: Budget,
        changed: threading.Condition,
        fetcher: Fetcher,
        folders: FolderLister | None,
    ) -> None:
        self._index, self._state, self._count, self._packets = index, state, count, packets
        self._budget, self._changed, self._fetcher, self._folders = budget, changed, fetcher, folders
        self._windows = Windows(index.records, budget.max_bytes)
        self._run_at: deque[int] = deque(maxlen=4 * RUNS)
        self._run_progress = Progress()
        self._announcements = Announcements()

    def run(self) -> None:
        """Serve until the process is told to end: this thread empties the pipe, so that no hint is lost, another one
        fetches."""
        threading.Thread(target=self._fetch_forever, daemon=True).start()
        for kind, numbers in self._packets.receive():
            with self._changed:
                if kind is Kind.HINT:
                    self._announced(numbers[0], numbers[1:])
                elif kind is Kind.RUN:
                    self._run_at.extend(numbers)
                elif kind is Kind.LIST and self._folders is not None:
                    self._folders.submit(numbers[0])
                self._changed.notify_all()

    def _announced(self, uid: int, inodes: list[int]) -> None:
        known = [inode for inode in inodes if 0 < inode <= len(self._index)]
        self._count[_HINTS] += len(inodes)
        self._count[_DROPPED] += self._announcements.add(uid, known, time.monotonic())

    def _fetch_forever(self) -> None:
        while True:
            with self._changed:
                while (job := self._next_job()) is None:
                    waiting = bool(self._run_at) or self._announcements.active() > 0
                    self._changed.wait(_LOOK_SECONDS if waiting else None)
            self._fetcher.fetch(*job)

    def _next_job(self) -> _Job | None:
        job = self._find_job()
        if job is not None:
            return job
        blocked = [*([RUN_OWNER] if self._run_at else []), *self._announcements.waiting()]
        if not blocked:
            return None
        self._state.wanted_marks[0] = max(min(self._budget.marks(owner) for owner in blocked) // 4, 1)
        return self._find_job()  # marks may have been passed meanwhile

    def _find_job(self) -> _Job | None:
        while self._run_at and self._may_fetch(RUN_OWNER):
            window = self._windows.next(self._run_at.popleft())
            if window is not None:
                self._count[_WINDOWS] += 1
                return RUN_OWNER, list(window.records), window.mark
        for owner in self._announcements.waiting():
            if self._may_fetch(owner):
                return owner, self._next_announced(owner), -1
        return None

    def _may_fetch(self, owner: int) -> bool:
        """Whether there is room; makes some where nobody follows, since a job that ended early leaves files unread that
        it had announced."""
        passed, now = self._state.passed_marks(owner), time.monotonic()
        active = self._announcements.active() + bool(self._run_at)
        if self._budget.has_room(owner, passed, active):
            if owner == RUN_OWNER:
                self._run_progress.has_room(now)
            else:
                self._announcements.has_room(owner, now)
            return True
        if owner == RUN_OWNER:
            if not self._run_progress.stalled(passed, now):
                return False
            self._run_progress.give_up(now)
        else:
            forgotten = self._announcements.forget_unfollowed(owner, passed, now)
            if forgotten is None:
                return False
            self._count[_DROPPED] += forgotten
        self._budget.give_up(owner)
        return owner == RUN_OWNER or self._announcements.has_some(owner)

    def _next_announced(self, owner: int) -> list[int]:
        """The records of the next announced files; these are close in time, not in place."""
        batch: list[int] = []
        batch_bytes = 0
        limit = min(self._budget.share_bytes(self._announcements.active()) // 4, _BATCH_BYTES)
        while self._announcements.has_some(owner):
            time, inodes = self._announcements.take(owner)
            for place, inode in enumerate(inodes):
                if batch and (batch_bytes >= limit or len(batch) >= _BATCH_RECORDS):
                    self._announcements.put_back(owner, time, inodes[place:])
                    return batch
                batch.append(self._index.record(inode))
                batch_bytes += self._index.size(inode)
        return batch


_HINTS, _DROPPED, _WINDOWS = position("hints"), position("hints_dropped"), position("prefetch_windows")
