"""The requests of one worker, answered from the index and the content: bytes in, bytes out. Only a protocol adapter.

An inode is a row of the index, and stands in each request, so there are no handles: OPEN is answered ENOSYS once, and
the kernel opens files by itself from then on. `serve` is the receiving thread; what waits for storage goes to other
threads, each of which writes its own reply.

Where the kernel sends requests of dead workers again, those that a living worker still has come a second time too.
They are left to it: its reply is lost only if the request was back in the kernel's queue at that moment, and then it
replies once more after it has given the request out of hand (`_reply`), so either the one or the other is heard.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import threading
from collections.abc import Callable
from time import perf_counter_ns

import numpy as np

from ffrfs.errors import ArchiveError, ChangedError, ChecksumError
from ffrfs.format.index import ROOT_INODE, Index
from ffrfs.format.tree import MAX_NAME_BYTES
from ffrfs.fs.attributes import BLOCK_BYTES, FOREVER_SECONDS, Attributes
from ffrfs.fs.content import Content
from ffrfs.fs.counters import HISTOGRAM, HISTOGRAM_BUCKETS, position
from ffrfs.fs.hands import Resent
from ffrfs.fs.listing import Listings
from ffrfs.fs.options import TreeOptions
from ffrfs.fs.prefetch.announcer import Announcer
from ffrfs.fs.state import FIRST_MARK, READ, UNREAD, SharedState
from ffrfs.fs.statistics import TEXT_BYTES, StatisticsFolder
from ffrfs.fs.threads import Threads
from ffrfs.fuse import wire
from ffrfs.fuse.channel import BUFFER_BYTES, Channel
from ffrfs.fuse.wire import CHANGES, HEADER_BYTES, RESENT, Opcode, ProtocolError
from ffrfs.hints import HINT_PREFIX, decode_hint

__all__ = ["Server"]

logger = logging.getLogger(__name__)

_THREADS = 64  # reads of a worker that wait for storage at once
_SLOW_READ_NS = 1_000_000_000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_TRUNC
_KEEP_CACHE, _CACHE_DIR = 1 << 1, 1 << 3  # FOPEN_
_UNANSWERED = (Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.NOTIFY_REPLY)

_LOOKUPS = position("lookups")
_NEGATIVE = position("negative_lookups")
_GETATTRS = position("getattrs")
_FORGETS = position("forgets")
_READDIRS = position("readdirs")
_ENTRIES = position("readdir_entries")
_STATFS = position("statfs")
_READS = position("reads")
_READ_BYTES = position("read_bytes")
_READ_US = position("read_us")
_WAITED = position("reads_waited")
_SLOW_READS = position("slow_reads")
_HITS = position("prefetch_hits")
_CHECKSUM_FAILURES = position("checksum_failures")
_IO_ERRORS = position("io_errors")
_INTERNAL_ERRORS = position("internal_errors")
_BUCKETS = position(HISTOGRAM[0])


class _UnknownInodeError(Exception):
    """An inode that the kernel should not know: of another archive, in a file handle."""


class Server:
    """Args: index, content, the archive; options, how it looks; state, where to count; row, the rows in which this
    process counts and, behind those of all workers, its threads; statistics, the hidden folder; announcer, who is told
    what to read ahead, or None; channel, of the kernel; resent, or None where the kernel sends nothing again;
    opendir_errno, with which OPENDIR is answered, or 0.
    """

    def __init__(
        self,
        index: Index,
        content: Content,
        options: TreeOptions,
        state: SharedState,
        rows: tuple[int, int],
        statistics: StatisticsFolder,
        announcer: Announcer | None,
        channel: Channel,
        resent: Resent | None = None,
        opendir_errno: int = errno.ENOSYS,
    ) -> None:
        self._index, self._content, self._state, self._channel = index, content, state, channel
        self._statistics, self._announcer, self._opendir_errno = statistics, announcer, opendir_errno
        self._resent, self._hand = resent, resent.hand if resent is not None else None
        self._inodes = len(index)
        self._count, self._thread_count = (state.counters[row] for row in rows)
        self._passed = state.passed[rows[0]]
        self._counting = threading.Lock()  # of the threads, which share a row
        self._threads = Threads(_THREADS, "read")
        self._attributes = Attributes(index, options)
        self._listings = Listings(index, self._attributes)
        self._absent = wire.entry_reply(0, FOREVER_SECONDS, 0)
        self._statfs_body = wire.statfs_reply(
            -(-index.file_bytes // BLOCK_BYTES), self._inodes, BLOCK_BYTES, MAX_NAME_BYTES
        )
        self._handlers: dict[int, Callable[[int, int, int, memoryview], None]] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.GETATTR: self._getattr,
            Opcode.STATX: self._statx,
            Opcode.READ: self._read,
            Opcode.READDIR: self._readdir,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.STATFS: self._statfs,
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._batch_forget,
            Opcode.OPEN: self._open,
            Opcode.OPENDIR: self._opendir,
            Opcode.RELEASE: self._done,
            Opcode.RELEASEDIR: self._done,
            Opcode.DESTROY: self._done,
            Opcode.WRITE: self._write,
        }

    def serve(self) -> None:
        """Answer requests until the session ends. Raises: SessionEnded."""
        buffer = memoryview(bytearray(BUFFER_BYTES))
        receive, answer = self._channel.receive, self.answer
        while True:
            answer(buffer[: receive(buffer)])

    def answer(self, request: memoryview) -> None:
        """Answer one request, or see to it that it is answered. Raises: OSError where no reply can be written."""
        try:
            opcode, unique, nodeid, uid = wire.request_header(request)
        except ProtocolError as error:
            logger.error("the kernel sent %s", error)
            return
        if self._resent is not None and unique & RESENT and self._resent.is_for_others(unique, request):
            return
        hand = self._hand
        if hand is not None:
            hand.hold(unique)
        try:
            handler = self._handlers.get(opcode)
            if handler is not None:
                handler(unique, nodeid, uid, request[HEADER_BYTES:])
            elif opcode not in _UNANSWERED:  # ENOSYS to INTERRUPT: an answer comes soon, or storage hangs
                self._reply(unique, error=errno.EROFS if opcode in CHANGES else errno.ENOSYS)
        except Exception as error:
            number = self._errno_of(error, f"request {opcode} on inode {nodeid}", self._count)
            if opcode not in _UNANSWERED:
                self._reply(unique, error=number)
        finally:
            if hand is not None:
                hand.drop()

    def answer_alone(self, request: memoryview) -> None:
        """As `answer`, in the calling thread however long it takes: the one request of a process of its own."""
        opcode, unique, nodeid, _ = wire.request_header(request)
        if opcode == Opcode.READ and nodeid <= self._inodes:
            self._read_in_thread(unique, nodeid, *wire.range_of(request[HEADER_BYTES:]), perf_counter_ns(), 0)
        else:
            self.answer(request)

    def _reply(self, unique: int, body: bytes | bytearray | memoryview = b"", error: int = 0) -> None:
        heard = self._send(unique, body, error)
        if not heard and self._hand is not None:  # else its reader was killed
            self._hand.drop()
            self._send(unique | RESENT, body, error)

    def _send(self, unique: int, body: bytes | bytearray | memoryview, error: int) -> bool:
        try:
            return self._channel.reply(unique, body, error)
        except OSError as problem:  # ENOMEM, for one
            logger.error("a reply of %d bytes failed: %s", len(body), problem)
            return self._channel.reply(unique, error=errno.EIO)

    def _known(self, nodeid: int) -> int:
        if not ROOT_INODE <= nodeid <= self._inodes:
            raise _UnknownInodeError
        return nodeid

    def _lookup(self, unique: int, parent: int, uid: int, body: memoryview) -> None:
        self._count[_LOOKUPS] += 1
        name = wire.name_of(body)
        if parent > self._inodes:
            self._lookup_absent(unique, parent, uid, name)
            return
        if name in (b".", b".."):  # of file handles
            self._known(parent)
            self._reply_entry(unique, parent if name == b"." else self._index.parent(parent))
            return
        inode = self._index.lookup(parent, name)
        if not inode:
            self._lookup_absent(unique, parent, uid, name)
            return
        self._reply_entry(unique, inode)
        if self._announcer is not None:
            self._announcer.looked_up(parent)

    def _reply_entry(self, unique: int, inode: int) -> None:
        self._reply(unique, wire.entry_reply(inode, FOREVER_SECONDS, FOREVER_SECONDS, self._attributes.of(inode)))

    def _lookup_absent(self, unique: int, parent: int, uid: int, name: bytes) -> None:
        """The answer for a name that the archive does not have: the hidden folder's, a hint, or a negative entry."""
        inode = self._statistics.lookup(parent, name)
        if inode:
            attributes = self._attributes.of(inode) if inode == ROOT_INODE else self._statistics_attributes(inode)
            self._reply(unique, wire.entry_reply(inode, FOREVER_SECONDS, 0, attributes))
        elif self._announcer is not None and name.startswith(HINT_PREFIX):
            self._announcer.announce(uid, decode_hint(name))
            # Not a negative entry: that would keep the next epoch's hint away.
            self._reply(unique, error=errno.ENOENT)
        elif len(name) > MAX_NAME_BYTES:  # the kernel lets names of up to 1024 bytes pass
            self._reply(unique, error=errno.ENAMETOOLONG)
        else:
            self._count[_NEGATIVE] += 1
            self._reply(unique, self._absent)

    def _statistics_attributes(self, inode: int) -> tuple[int, ...]:
        if not self._statistics.has(inode):
            raise _UnknownInodeError
        return self._attributes.now(inode, None if self._statistics.is_folder(inode) else TEXT_BYTES)

    def _attributes_now(self, nodeid: int) -> tuple[int, tuple[int, ...]]:
        """For how many seconds they hold, and the attributes."""
        self._count[_GETATTRS] += 1
        if nodeid > self._inodes:
            return 0, self._statistics_attributes(nodeid)
        return FOREVER_SECONDS, self._attributes.of(self._known(nodeid))

    def _getattr(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        self._reply(unique, wire.attributes_reply(*self._attributes_now(nodeid)))

    def _statx(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        self._reply(unique, wire.statx_reply(*self._attributes_now(nodeid)))

    def _read(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        offset, size = wire.range_of(body)
        if nodeid > self._inodes:
            if not self._statistics.has(nodeid) or self._statistics.is_folder(nodeid):
                raise _UnknownInodeError
            self._reply(unique, memoryview(self._statistics.text(nodeid))[offset : offset + size])
            return
        begin = perf_counter_ns()
        record = self._index.record(self._known(nodeid))
        if record < 0:
            self._reply(unique, error=errno.EISDIR)
            return
        self._count[_READS] += 1
        pages = self._state.pages[nodeid]
        if pages != READ or offset == 0:
            self._note_reader(nodeid, record, pages, offset)
        data = self._content.read_cached(nodeid, offset, size)
        if data is None:
            self._count[_WAITED] += 1
            slot = self._hand.keep(unique) if self._hand is not None else 0
            read = functools.partial(
                self._threads.submit, self._read_in_thread, unique, nodeid, offset, size, begin, slot
            )
            if not self._content.defer(nodeid, read):  # else it comes when the check of a large file has ended
                read()
            return
        self._reply(unique, data)
        _note_read(self._count, len(data), perf_counter_ns() - begin)

    def _note_reader(self, inode: int, record: int, pages: int, offset: int) -> None:
        """How far a reader is: what the kernel asks for it does not have, or has no longer."""
        self._state.pages[inode] = READ
        if pages >= FIRST_MARK:
            self._passed[pages - FIRST_MARK] += 1
            self._count[_HITS] += 1
            if self._announcer is not None:
                self._announcer.passed(record, pages - FIRST_MARK)
        elif offset == 0 and self._announcer is not None:
            self._announcer.began(record)

    def _read_in_thread(self, unique: int, inode: int, offset: int, size: int, begin: int, slot: int) -> None:
        data: bytearray | memoryview = bytearray()
        error = 0
        try:
            data = self._content.read(inode, offset, size)
        except Exception as problem:
            with self._counting:
                error = self._errno_of(problem, "read", self._thread_count)
        heard = self._send(unique, data, error)
        if self._hand is not None:
            self._hand.give_back(slot)
            if not heard:
                self._send(unique | RESENT, data, error)
        if not error:
            with self._counting:
                _note_read(self._thread_count, len(data), perf_counter_ns() - begin)

    def _readdir(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        self._list(unique, nodeid, body, plus=False)

    def _readdirplus(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        self._list(unique, nodeid, body, plus=True)
        if self._announcer is not None and nodeid <= self._inodes and self._index.is_directory(nodeid):
            self._announcer.listed(nodeid)

    def _list(self, unique: int, nodeid: int, body: memoryview, plus: bool) -> None:
        self._count[_READDIRS] += 1
        offset, size = wire.range_of(body)
        if nodeid > self._inodes:
            self._reply(unique)  # the hidden folder lists nothing
            return
        if not self._index.is_directory(self._known(nodeid)):
            self._reply(unique, error=errno.ENOTDIR)
            return
        entries, number = self._listings.read(nodeid, offset, size, plus)
        self._count[_ENTRIES] += number
        self._reply(unique, entries)

    def _statfs(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        self._count[_STATFS] += 1
        self._reply(unique, self._statfs_body)

    def _open(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        # The flags can only say so after a `mount -o remount,rw`.
        self._reply(unique, error=errno.EROFS if wire.open_flags(body) & _WRITING else errno.ENOSYS)

    def _opendir(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        if self._opendir_errno:
            self._reply(unique, error=self._opendir_errno)
        else:
            self._reply(unique, wire.opened_reply(_KEEP_CACHE | _CACHE_DIR))

    def _done(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        self._reply(unique)

    def _write(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        """Of a page that was changed after a `mount -o remount,rw`: others must not be shown it. That may wait for a
        page which this worker is to deliver, and so is done by a thread."""
        self._reply(unique, error=errno.EROFS)
        self._threads.submit(self._drop_pages, nodeid)

    def _drop_pages(self, nodeid: int) -> None:
        with contextlib.suppress(OSError):  # the kernel has forgotten it
            self._channel.invalidate(nodeid)

    def _forget(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        self._forgotten(np.array([nodeid], np.uint64))

    def _batch_forget(self, unique: int, nodeid: int, uid: int, body: memoryview) -> None:
        self._forgotten(wire.batch_forgotten(body))

    def _forgotten(self, nodeids: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> None:
        self._count[_FORGETS] += len(nodeids)
        inodes = nodeids[(nodeids >= ROOT_INODE) & (nodeids <= self._inodes)].astype(np.int64)
        pages = np.frombuffer(self._state.pages, np.uint8)
        for mark in pages[inodes][pages[inodes] >= FIRST_MARK].tolist():  # thrown away unread: there is room for others
            self._passed[mark - FIRST_MARK] += 1
        pages[inodes] = UNREAD
        if self._announcer is not None:
            self._announcer.forgotten(inodes)

    def _errno_of(self, error: Exception, request: str, count: memoryview) -> int:
        """The errno with which to answer an exception; what nobody expected is logged with its traceback."""
        if isinstance(error, ChecksumError):
            count[_CHECKSUM_FAILURES] += 1
            return errno.EIO
        if isinstance(error, _UnknownInodeError):
            return errno.ESTALE
        if isinstance(error, ProtocolError):
            logger.error("%s: the kernel sent %s", request, error)
            return errno.EINVAL
        if isinstance(error, (ArchiveError, OSError)):
            count[_IO_ERRORS] += 1
            logger.error("%s failed: %s", request, error)
            return errno.ESTALE if isinstance(error, ChangedError) else errno.EIO
        count[_INTERNAL_ERRORS] += 1
        logger.error("unexpected error in %s, answered with EIO", request, exc_info=error)
        return errno.EIO


def _note_read(count: memoryview, size: int, nanoseconds: int) -> None:
    microseconds = nanoseconds // 1000
    count[_READ_BYTES] += size
    count[_READ_US] += microseconds
    count[_BUCKETS + min(microseconds.bit_length(), HISTOGRAM_BUCKETS - 1)] += 1
    if nanoseconds > _SLOW_READ_NS:
        count[_SLOW_READS] += 1
