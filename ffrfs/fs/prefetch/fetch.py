"""Reading records ahead: in as few reads as they lie, by several threads, checked, and stored where the kernel keeps
what it has read."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Iterable

from ffrfs.archive.shards import Shards
from ffrfs.errors import ArchiveError, ChecksumError
from ffrfs.format.index import Index
from ffrfs.format.records import Extent
from ffrfs.fs.changes import Version
from ffrfs.fs.content import Content
from ffrfs.fs.counters import position
from ffrfs.fs.prefetch.budget import Budget
from ffrfs.fs.state import BAD, FIRST_MARK, READ, UNREAD, SharedState
from ffrfs.fs.threads import Threads
from ffrfs.fuse.channel import Channel

__all__ = ["Fetcher"]

logger = logging.getLogger(__name__)

_THREADS = 128  # as many reads are under way at once; started as they are needed, so only on slow storage
_MAX_RECORD_BYTES = 1 << 23  # larger files are read in order by themselves, with the kernel's own readahead
_MAX_READING_BYTES = 1 << 25  # in the memory of this process at any time
# ENOENT: the kernel does not know the file; its READ finds the archive's pages. ENODEV: the mount has ended.
_REFUSED = (errno.ENOENT, errno.ENOMEM, errno.ENODEV)


class Fetcher:
    """Args: shards, index, content, the archive; state, count, where to count; budget, and changed, which guards it;
    channel, of the mount's session."""

    def __init__(
        self,
        shards: Shards,
        index: Index,
        content: Content,
        state: SharedState,
        count: memoryview,
        budget: Budget,
        changed: threading.Condition,
        channel: Channel,
    ) -> None:
        self._shards, self._index, self._content, self._state, self._count = shards, index, content, state, count
        self._budget, self._changed, self._channel = budget, changed, channel
        self._reading_bytes = 0
        self._threads = Threads(_THREADS, "prefetch")

    def fetch(self, owner: int, records: Iterable[int], mark: int = -1) -> None:
        """Begin to read those of the records that are not in the page cache. Waits while too much is being read.

        Args: mark, a record that is to be left out of the page cache in any case.
        """
        wanted = [record for record in dict.fromkeys(records) if record >= 0 and self._take_missing(record)]
        for extent, group in self._index.records.merge(wanted):
            with self._changed:
                while self._reading_bytes and self._reading_bytes + extent.length_bytes > _MAX_READING_BYTES:
                    self._changed.wait()
                self._reading_bytes += extent.length_bytes
                self._budget.begin(owner, extent.length_bytes)
            self._threads.submit(self._fetch_group, owner, extent, group, mark)

    def _take_missing(self, record: int) -> bool:
        """Whether a file should be fetched: not if it was and the kernel has not forgotten it, unless memory has been
        short since, of which the archive's own pages are the first to tell."""
        inode = self._index.inode(record)
        if inode == 0 or self._state.checked[record] == BAD or self._index.records.length(record) > _MAX_RECORD_BYTES:
            return False
        pages = self._state.pages[inode]
        if pages == READ and not self._is_cached(record):
            self._state.pages[inode] = pages = UNREAD
        return pages == UNREAD

    def _is_cached(self, record: int) -> bool:
        shard, offset, _ = self._index.records.extent(record)
        try:
            self._shards.read_near(shard, offset, bytearray(1))
        except BlockingIOError:
            return False
        except OSError:
            pass  # storage that cannot tell: believe the kernel, which forgets files when memory is short
        return True

    def _fetch_group(self, owner: int, extent: Extent, group: list[int], mark: int) -> None:
        try:
            version = self._content.version(extent.shard)
            whole = memoryview(self._shards.read(*extent))
            for record in group:
                _, offset, length = self._index.records.extent(record)
                self._store(owner, record, whole[offset - extent.offset_bytes :][:length], version, record == mark)
        except (OSError, ArchiveError) as error:
            logger.warning("could not read ahead: %s", error)  # who reads the file will get the error
        finally:
            with self._changed:
                self._reading_bytes -= extent.length_bytes
                self._budget.end(owner, extent.length_bytes)
                self._changed.notify_all()

    def _store(self, owner: int, record: int, data: memoryview, version: Version, marked: bool) -> None:
        inode = self._index.inode(record)
        try:
            if not self._content.accept(inode, record, data, version):
                return
        except ChecksumError:
            return  # who reads the file will get the error
        pages = self._state.pages
        if pages[inode] != UNREAD:
            return  # its reader was faster
        with self._changed:
            mark = self._budget.fetched(owner, len(data), marked)
            self._count[_PREFETCHED] += 1
            self._count[_PREFETCHED_BYTES] += len(data)
            self._count[_MARKS] += mark
        if mark:
            pages[inode] = FIRST_MARK + owner
            return
        pages[inode] = READ
        try:
            self._channel.store(inode, data)
        except OSError as error:
            pages[inode] = UNREAD
            if error.errno not in _REFUSED:
                raise


_PREFETCHED, _PREFETCHED_BYTES = position("prefetched"), position("prefetched_bytes")
_MARKS = position("prefetch_markers")
