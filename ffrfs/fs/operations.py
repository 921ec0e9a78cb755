"""The archive as a file system: pyfuse3's requests, answered from the index and the content. Only a protocol adapter.

Every handler answers at once, but for a READ whose data is not in memory. Objects are made once and reused: pyfuse3
copies an `EntryAttributes` into the reply when the handler returns. The file handle is the inode, so there is no table
of them. Not defined on purpose: flush and the xattr calls, whose absence the kernel learns once and then stops asking.
"""

from __future__ import annotations

import errno
import functools
import inspect
import logging
import os
import stat
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

import pyfuse3

from ffrfs.errors import ArchiveError, ChecksumError
from ffrfs.format.index import Index
from ffrfs.format.tree import MAX_NAME_BYTES
from ffrfs.fs.content import Content
from ffrfs.fs.loop import FuseLoop
from ffrfs.fs.options import TreeOptions
from ffrfs.fs.prefetch import Announcer
from ffrfs.fs.state import COUNTERS, EMPTY, FILLED, HISTOGRAM_BUCKETS, PREFETCHED, SharedState
from ffrfs.fs.statistics import TEXT_BYTES, StatisticsFolder
from ffrfs.hints import HINT_PREFIX, decode_hint

__all__ = ["ArchiveOperations"]

logger = logging.getLogger(__name__)

_FOREVER_SECONDS = 1e9  # the archive never changes under a mount
_BLOCK_BYTES = 4096
_SLOW_READ_NS = 1_000_000_000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_APPEND | os.O_CREAT
_DOTS = 2  # a directory's first two entries, `.` and `..`

(
    _LOOKUPS,
    _NEGATIVE,
    _GETATTRS,
    _OPENS,
    _RELEASES,
    _FORGETS,
    _READDIRS,
    _ENTRIES,
    _STATFS,
    _READS,
    _READ_BYTES,
    _WAITED,
    _FILLS,
    _FILL_BYTES,
) = range(14)
_CHECKSUM_FAILURES = COUNTERS.index("checksum_failures")
_IO_ERRORS = COUNTERS.index("io_errors")
_INTERNAL_ERRORS = COUNTERS.index("internal_errors")
_SLOW_READS = COUNTERS.index("slow_reads")
_PREFETCH_HITS = COUNTERS.index("prefetch_hits")
_PREFETCH_HIT_BYTES = COUNTERS.index("prefetch_hit_bytes")
_WORKER_STARTS = COUNTERS.index("worker_starts")
_READ_US = COUNTERS.index("read_us_0")


def answering_errors(handler: Callable[..., Any]) -> Any:
    """Make a handler of pyfuse3 from a function: awaitable, and whatever it raises becomes an errno.

    pyfuse3 ends the mount for anything but a FUSEError. A function that never waits is called directly, since each
    coroutine more costs a request some tenths of a microsecond.
    """
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def answer(self: ArchiveOperations, *arguments: Any) -> Any:
            try:
                return await handler(self, *arguments)
            except pyfuse3.FUSEError:
                raise
            except Exception as error:
                raise pyfuse3.FUSEError(self.errno_of(error, handler.__name__)) from None

    else:

        @functools.wraps(handler)
        async def answer(self: ArchiveOperations, *arguments: Any) -> Any:
            try:
                return handler(self, *arguments)
            except pyfuse3.FUSEError:
                raise
            except Exception as error:
                raise pyfuse3.FUSEError(self.errno_of(error, handler.__name__)) from None

    return answer


class ArchiveOperations(pyfuse3.Operations):
    """The requests of one worker.

    Args: index, content, the archive; options, how files look; state, where to count; loop, what waits for storage;
    statistics, the hidden folder; announcer, who is told what to read ahead, or None.
    """

    def __init__(
        self,
        index: Index,
        content: Content,
        options: TreeOptions,
        state: SharedState,
        loop: FuseLoop,
        statistics: StatisticsFolder,
        announcer: Announcer | None,
    ) -> None:
        super().__init__()
        self._statistics, self._announcer = statistics, announcer
        self._index, self._content, self._options, self._state, self._loop = index, content, options, state, loop
        self._inodes = len(index)
        self._process = 0
        self._count = state.counters[0]
        self._directory = self._attributes(stat.S_IFDIR | 0o555 & ~options.umask)
        self._file = self._attributes(stat.S_IFREG | 0o444 & ~options.umask)
        self._absent = pyfuse3.EntryAttributes()
        self._absent.st_ino = pyfuse3.InodeT(0)
        self._absent.entry_timeout = _FOREVER_SECONDS
        self._statfs = self._totals()

    def become_worker(self, process: int) -> None:
        """Count as this process of the mount from now on."""
        self._process = process
        self._count = self._state.counters[process]
        self._count[_WORKER_STARTS] += 1

    def init(self) -> None:
        self._loop.initialized()

    @answering_errors
    def lookup(self, parent_inode: int, name: bytes, ctx: object) -> pyfuse3.EntryAttributes:
        self._count[_LOOKUPS] += 1
        if name == b".":
            return self._entry(parent_inode)
        if name == b"..":
            return self._entry(self._index.parent(parent_inode))
        inode = self._index.lookup(parent_inode, name)
        if inode:
            return self._entry(inode)
        return self._absent_entry(parent_inode, name)

    @answering_errors
    def getattr(self, inode: int, ctx: object) -> pyfuse3.EntryAttributes:
        self._count[_GETATTRS] += 1
        return self._entry(inode)

    @answering_errors
    def open(self, inode: int, flags: int, ctx: object) -> pyfuse3.FileInfo:
        self._count[_OPENS] += 1
        if flags & _WRITING:
            raise pyfuse3.FUSEError(errno.EROFS)
        if inode > self._inodes:
            return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(inode), direct_io=True, keep_cache=False)
        self._state.opened(self._process, inode)
        filled = self._state.filled[inode]
        if filled == EMPTY:
            if self._announcer is not None:
                self._announcer.opened(self._index.record(inode))
            if self._index.size(inode) <= self._options.fill_bytes:
                self._fill(inode)
            self._state.filled[inode] = FILLED  # or will be, by the READs that follow
        elif filled == PREFETCHED:
            self._state.filled[inode] = FILLED
            self._count_prefetched(inode)
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(inode), keep_cache=True)

    @answering_errors
    async def read(self, fh: int, off: int, size: int) -> bytearray | memoryview:
        count = self._count
        if fh > self._inodes:
            return memoryview(self._statistics.text(fh))[off : off + size]
        begin = perf_counter_ns()
        count[_READS] += 1
        data: bytearray | memoryview | None = self._content.read_cached(fh, off, size)
        if data is None:
            count[_WAITED] += 1
            if self._announcer is not None and off == 0:
                self._announcer.opened(self._index.record(fh))
            data = await self._loop.in_thread(self._content.read, fh, off, size)
        count[_READ_BYTES] += len(data)
        nanoseconds = perf_counter_ns() - begin
        count[_READ_US + min((nanoseconds // 1000).bit_length(), HISTOGRAM_BUCKETS - 1)] += 1
        if nanoseconds > _SLOW_READ_NS:
            count[_SLOW_READS] += 1
        return data

    @answering_errors
    def release(self, fh: int) -> None:
        self._count[_RELEASES] += 1
        if fh <= self._inodes:
            self._state.released(self._process, fh)

    @answering_errors
    def opendir(self, inode: int, ctx: object) -> int:
        return inode

    @answering_errors
    def releasedir(self, fh: int) -> None:
        pass

    @answering_errors
    def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        count, index, reply = self._count, self._index, pyfuse3.readdir_reply
        count[_READDIRS] += 1
        if fh > self._inodes:
            return  # the hidden folder lists nothing
        children = index.children(fh)
        for position in range(start_id, _DOTS):
            dot, inode = (b".", fh) if position == 0 else (b"..", index.parent(fh))
            if not reply(token, dot, self._entry(inode), position + 1):
                return
        begin = max(start_id - _DOTS, 0)
        for position in range(begin, len(children)):
            inode = children[position]
            name = index.name(inode)
            if not reply(token, name, self._entry(inode), position + _DOTS + 1):
                break
        else:
            position = len(children)
        count[_ENTRIES] += position - begin

    @answering_errors
    def statfs(self, ctx: object) -> pyfuse3.StatvfsData:
        self._count[_STATFS] += 1
        return self._statfs

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        self._count[_FORGETS] += len(inode_list)
        filled = self._state.filled
        for inode, _ in inode_list:
            if inode <= self._inodes:
                if filled[inode] == PREFETCHED:  # thrown away unread: there is room for other files
                    self._count[_PREFETCH_HIT_BYTES] += self._index.size(inode)
                filled[inode] = EMPTY

    def errno_of(self, error: Exception, request: str) -> int:
        """The errno with which to answer an exception; what nobody expected is logged with its traceback."""
        if isinstance(error, ChecksumError):
            self._count[_CHECKSUM_FAILURES] += 1
            return errno.EIO
        if isinstance(error, (ArchiveError, OSError)):
            self._count[_IO_ERRORS] += 1
            logger.error("%s failed: %s", request, error)
            return errno.EIO
        self._count[_INTERNAL_ERRORS] += 1
        logger.error("unexpected error in %s, answered with EIO", request, exc_info=error)
        return errno.EIO

    def _entry(self, inode: int) -> pyfuse3.EntryAttributes:
        if inode > self._inodes:
            return self._statistics_entry(inode)
        record = self._index.record(inode)
        if record < 0:
            entry = self._directory
            entry.st_nlink = self._index.links(inode)
        else:
            entry = self._file
            size = self._index.records.length(record)
            entry.st_size = size
            entry.st_blocks = (size + 511) >> 9
        entry.st_ino = inode
        return entry

    def _absent_entry(self, parent: int, name: bytes) -> pyfuse3.EntryAttributes:
        """The answer for a name that the archive does not have: the hidden folder's, a hint, or a negative entry."""
        inode = self._statistics.lookup(parent, name)
        if inode:
            return self._statistics_entry(inode)
        if self._announcer is not None and name.startswith(HINT_PREFIX):
            self._announcer.announce(decode_hint(name))
            raise pyfuse3.FUSEError(errno.ENOENT)  # not a negative entry: that would keep the next epoch's hint away
        if len(name) > MAX_NAME_BYTES:  # the kernel lets names of up to 1024 bytes pass
            raise pyfuse3.FUSEError(errno.ENAMETOOLONG)
        self._count[_NEGATIVE] += 1
        return self._absent

    def _statistics_entry(self, inode: int) -> pyfuse3.EntryAttributes:
        folder = self._statistics.is_folder(inode)
        entry = self._directory if folder else self._file
        entry.st_ino = inode
        if folder:
            entry.st_nlink = 2
        else:
            entry.st_size, entry.st_blocks = TEXT_BYTES, (TEXT_BYTES + 511) >> 9
        return entry

    def _fill(self, inode: int) -> None:
        """Store a file that is about to be opened into the kernel's page cache, unless that might deadlock.

        The kernel waits for the lock of each page that it fills, and a page being read is locked until some worker
        answers that READ. So only a file of which there is no handle but the one that this OPEN will give out is
        filled. Others may open it meanwhile, through another worker, and make this one wait for that worker. But the
        worker that began to fill last waits for nobody: those that could have opened its file meanwhile are filling,
        and what they had opened before was counted. (Two that open one file at once cannot both miss the other's
        count: each has made system calls, which order memory, since it counted.)
        """
        try:
            data = self._content.load_cached(inode)
        except ChecksumError:
            return  # a damaged file can be opened; its READs fail
        if data is None or self._state.handles(inode) > 1:
            return
        try:
            pyfuse3.notify_store(inode, 0, data)  # type: ignore[arg-type]  # any buffer will do
        except OSError as error:  # ENOENT: the kernel has just forgotten it; ENOMEM
            logger.debug("inode %d not stored: %s", inode, error)
            return
        self._count[_FILLS] += 1
        self._count[_FILL_BYTES] += len(data)

    def _count_prefetched(self, inode: int) -> None:
        self._count[_PREFETCH_HITS] += 1
        self._count[_PREFETCH_HIT_BYTES] += self._index.size(inode)
        if self._announcer is not None:
            self._announcer.hit()

    def _attributes(self, mode: int) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_mode = mode
        entry.st_nlink = 1
        entry.st_uid, entry.st_gid = self._options.uid, self._options.gid
        entry.st_blksize = _BLOCK_BYTES
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = self._options.mtime_ns
        entry.attr_timeout = entry.entry_timeout = _FOREVER_SECONDS
        return entry

    def _totals(self) -> pyfuse3.StatvfsData:
        totals = pyfuse3.StatvfsData()
        totals.f_bsize = totals.f_frsize = _BLOCK_BYTES
        totals.f_blocks = -(-self._index.file_bytes // _BLOCK_BYTES)
        totals.f_files = len(self._index)
        totals.f_bfree = totals.f_bavail = totals.f_ffree = totals.f_favail = 0
        totals.f_namemax = MAX_NAME_BYTES
        return totals
