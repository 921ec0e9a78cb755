"""Reading ahead: what workers notice and readers announce, and the process that acts on it.

`Announcer` is the workers' end of a pipe, `Prefetcher` the process at the other. Workers send a packet when they see a
run in archive order, or when a reader announces files (`ffrfs.prefetch`); nothing is sent for other requests. The
prefetcher reads records in merged extents with several threads, checks them and stores them into the kernel's page
cache. It answers no request, so it may wait for a locked page without harm, and its reads run beside the demanded ones.

Memory is bounded by what may be in the page cache and not yet read: workers count the prefetched bytes that readers
have opened, and wake the prefetcher when it waits for that.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
from array import array
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import pyfuse3

from ffrfs.archive.shards import Shards
from ffrfs.errors import ChecksumError, TruncatedError
from ffrfs.format.index import Index
from ffrfs.format.records import Extent
from ffrfs.fs.changes import Version
from ffrfs.fs.content import Content
from ffrfs.fs.state import BAD, COUNTERS, FILLED, PREFETCHED, SharedState

__all__ = ["Announcer", "Prefetcher"]

logger = logging.getLogger(__name__)

_PACKET_BYTES = 4096  # what a pipe takes atomically, and a packet of a pipe in packet mode
_PIPE_BYTES = 1 << 20  # a page for each packet
_HINT, _RUN, _WAKE = 0, 1, 2  # first word of a packet; the others are inodes, or the record at which a run is

# A run: opens of records near each other, ascending. Several workers and readers share one, so it has gaps.
_NEAR_RECORDS = 16
_RUN_LENGTH = 4
_REPORT_EVERY = 8
_RUNS = 4  # kept apart by one worker

_THREADS = 128  # as many reads are under way at once; started as they are needed, so only on slow storage
_BATCH_RECORDS = 256
_FIRST_WINDOW_BYTES = 1 << 20
_MAX_WINDOW_BYTES = 1 << 25
_MAX_RECORD_BYTES = 1 << 23  # larger files are read in order by themselves, with the kernel's own readahead
_MAX_READING_BYTES = 1 << 25  # in the memory of this process at any time
_PATIENCE_SECONDS = 10.0
_MAX_QUEUE = 1 << 24  # announced inodes kept; more, and the oldest are forgotten


class _Run:
    """One run that a worker follows."""

    __slots__ = ("high", "next_report", "seen")

    def __init__(self, record: int) -> None:
        self.high, self.seen, self.next_report = record, 0, 0


class Announcer:
    """The workers' end: notices runs and passes on hints. Made before the fork, shared by all workers."""

    def __init__(self, state: SharedState) -> None:
        self._state = state
        self.reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_DIRECT)  # O_DIRECT: a pipe of packets
        os.set_blocking(self._writer, False)
        with contextlib.suppress(PermissionError):  # beyond the user's share of pipe memory: it stays as it is
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._runs: deque[_Run] = deque(maxlen=_RUNS)

    def opened(self, record: int) -> None:
        """A file was opened that is not in the page cache yet."""
        self._count_down()
        for run in self._runs:
            if -_NEAR_RECORDS <= record - run.high <= _NEAR_RECORDS:
                break
        else:
            self._runs.append(_Run(record))
            return
        run.seen += 1
        run.high = max(run.high, record)
        if run.seen >= _RUN_LENGTH and record >= run.next_report:
            run.next_report = record + _REPORT_EVERY
            self._send(_RUN, [record])

    def hit(self) -> None:
        """A file was opened that the prefetcher had put into the page cache."""
        self._count_down()

    def announce(self, inodes: list[int]) -> None:
        """A reader said that it will open these next."""
        self._send(_HINT, inodes)

    def _count_down(self) -> None:
        """Wake a prefetcher that waits for room after as many opened files as it asked for. Two workers may count one
        file once; then it is woken one file later."""
        if self._state.wanted_opens[0]:
            self._state.wanted_opens[0] -= 1
            if self._state.wanted_opens[0] == 0:
                self._send(_WAKE, [])

    def _send(self, kind: int, numbers: list[int]) -> None:
        # A hint may be lost: the prefetcher has more than it can do, or is being restarted.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._writer, array("I", [kind, *numbers]).tobytes())


class Progress:
    """Tells when readers have stopped to read what was fetched: nothing was, for 10 s, then 20 s, 40 s, …"""

    def __init__(self) -> None:
        self._consumed_bytes, self._since, self._patience_seconds = -1, 0.0, _PATIENCE_SECONDS

    def stalled(self, consumed_bytes: int, now: float) -> bool:
        """Whether to give up on what is ahead.

        Args: consumed_bytes, what readers have read of it so far; now, a monotonic time in seconds.
        """
        if consumed_bytes != self._consumed_bytes:
            self._consumed_bytes, self._since, self._patience_seconds = consumed_bytes, now, _PATIENCE_SECONDS
            return False
        if now - self._since < self._patience_seconds:
            return False
        self._since, self._patience_seconds = now, 2 * self._patience_seconds
        return True


class Prefetcher:
    """The prefetching process.

    Args: shards, index, content, the archive; state and row, where to count; announcer, whose other end this is;
    max_bytes, how much may be in the page cache ahead of the readers.
    """

    def __init__(
        self,
        shards: Shards,
        index: Index,
        content: Content,
        state: SharedState,
        row: int,
        announcer: Announcer,
        max_bytes: int,
    ) -> None:
        self._shards, self._index, self._content = shards, index, content
        self._state, self._announcer = state, announcer
        self._count = dict(zip(COUNTERS, range(len(COUNTERS)), strict=True))
        self._row = state.counters[row]
        self._max_bytes = max_bytes
        self._hinted: deque[int] = deque(maxlen=_MAX_QUEUE)
        self._ahead: dict[int, tuple[int, int]] = {}  # end of a run's window (record) -> (window's begin, bytes)
        self._reading_bytes = 0
        self._abandoned_bytes = 0
        self._progress = Progress()
        self._run_at: deque[int] = deque(maxlen=4 * _RUNS)
        # Guards everything above that the draining and the fetching thread share, and tells either of a change.
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(_THREADS, "prefetch")

    def run(self) -> None:
        """Serve until the process is told to end: this thread empties the pipe, so that no hint is lost, another one
        fetches."""
        threading.Thread(target=self._fetch_forever, daemon=True).start()
        while packet := os.read(self._announcer.reader, _PACKET_BYTES):
            kind, *numbers = array("I", packet)
            with self._changed:
                if kind == _HINT:
                    self._add("hints", len(numbers))
                    self._hinted.extend(inode for inode in numbers if 0 < inode <= len(self._index))
                elif kind == _RUN:
                    self._run_at.extend(numbers)
                self._changed.notify_all()

    def _fetch_forever(self) -> None:
        while True:
            with self._changed:
                while not (self._run_at or self._hinted) or not self._room():
                    if not self._room():
                        self._state.wanted_opens[0] = self._opens_for_room()
                        self._give_up_abandoned()
                        if self._room():
                            break
                    self._changed.wait()
                numbers = self._next_of_run(self._run_at.popleft()) if self._run_at else self._next_hinted()
            self._fetch(numbers)

    def _room(self) -> bool:
        fetched = self._row[self._count["prefetched_bytes"]] + self._reading_bytes
        return fetched - self._abandoned_bytes - self._state.consumed_bytes() < self._max_bytes

    def _give_up_abandoned(self) -> None:
        """A job that ended early leaves files unread that it had announced; they must not stand in the way for ever."""
        consumed = self._state.consumed_bytes()
        if self._progress.stalled(consumed, time.monotonic()):
            self._abandoned_bytes = self._row[self._count["prefetched_bytes"]] - consumed

    def _opens_for_room(self) -> int:
        """After how many opened files to look again: when about a quarter of what is ahead has been read."""
        files = max(self._row[self._count["prefetched"]], 1)
        mean = max(self._row[self._count["prefetched_bytes"]] // files, 1)
        return max(self._max_bytes // 4 // mean, 1)

    def _next_hinted(self) -> list[int]:
        """The records of the next announced files; these are close in time, not in place."""
        batch: list[int] = []
        batch_bytes = 0
        limit = min(self._max_bytes // 4, _MAX_WINDOW_BYTES)
        while self._hinted and len(batch) < _BATCH_RECORDS and batch_bytes < limit:
            inode = self._hinted.popleft()
            batch.append(self._index.record(inode))
            batch_bytes += self._index.size(inode)
        return batch

    def _next_of_run(self, record: int) -> list[int]:
        """A reader is at `record` of a run in archive order: the records of a window ahead of it, twice the last one;
        none if it still has half a window ahead."""
        for end, (begin, window_bytes) in self._ahead.items():
            if begin - _NEAR_RECORDS <= record < end + _NEAR_RECORDS:
                if record < begin + (end - begin) // 2:
                    return []
                del self._ahead[end]
                first, window_bytes = max(end, record + 1), min(2 * window_bytes, _MAX_WINDOW_BYTES)
                break
        else:
            first, window_bytes = record + 1, _FIRST_WINDOW_BYTES
        last, total = first, 0
        while last < len(self._index.records) and total < window_bytes:
            total += self._index.records.length(last)
            last += 1
        if len(self._ahead) >= 4 * _RUNS:
            self._ahead.pop(next(iter(self._ahead)))
        self._ahead[last] = (first, window_bytes)
        self._add("prefetch_windows", 1)
        return list(range(first, last))

    def _fetch(self, numbers: list[int]) -> None:
        """Begin to read the records that are not in the page cache, in as few reads as they lie."""
        wanted = [record for record in numbers if record >= 0 and self._is_missing(record)]
        for extent, group in self._index.records.merge(wanted):
            with self._changed:
                while self._reading_bytes + extent.length_bytes > _MAX_READING_BYTES:
                    self._changed.wait()
                self._reading_bytes += extent.length_bytes
            self._pool.submit(self._fetch_group, extent, group).add_done_callback(_report)

    def _is_missing(self, record: int) -> bool:
        """Whether a file should be fetched: not if it was and the kernel has not forgotten it, unless memory has been
        short since, of which the archive's own pages are the first to tell."""
        inode = self._index.inode(record)
        if inode == 0 or self._state.checked[record] == BAD or self._state.filled[inode] == PREFETCHED:
            return False
        if self._index.records.length(record) > _MAX_RECORD_BYTES:
            return False
        if self._state.filled[inode] != FILLED:
            return True
        shard, offset, _ = self._index.records.extent(record)
        try:
            os.preadv(self._shards.descriptors[shard], [bytearray(1)], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False  # storage that cannot tell: believe the kernel, which forgets files when memory is short
        return False

    def _fetch_group(self, extent: Extent, group: list[int]) -> None:
        try:
            version = self._content.version(extent.shard)
            whole = memoryview(self._shards.read(*extent))
            for record in group:
                _, offset, length = self._index.records.extent(record)
                self._store(record, whole[offset - extent.offset_bytes :][:length], version)
        finally:
            with self._changed:
                self._reading_bytes -= extent.length_bytes
                self._changed.notify_all()

    def _store(self, record: int, content: memoryview, version: Version) -> None:
        inode = self._index.inode(record)
        try:
            if not self._content.accept(inode, record, content, version):
                return
        except ChecksumError:
            return  # who reads the file will get the error
        try:
            pyfuse3.notify_store(inode, 0, content)  # type: ignore[arg-type]  # any buffer will do
        except OSError as error:
            # ENOENT: the kernel does not know the file yet; its READ will find the archive's pages in memory.
            if error.errno not in (errno.ENOENT, errno.ENOMEM):
                raise
            return
        with self._changed:
            self._state.filled[inode] = PREFETCHED
            self._add("prefetched", 1)
            self._add("prefetched_bytes", len(content))

    def _add(self, counter: str, number: int) -> None:
        self._row[self._count[counter]] += number


def _report(job: Future[None]) -> None:
    error = job.exception()
    if isinstance(error, (OSError, TruncatedError)):
        logger.warning("could not read ahead: %s", error)  # who reads the file will get the error
    elif error is not None:
        logger.error("unexpected error while reading ahead", exc_info=error)
