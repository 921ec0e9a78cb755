"""File contents as a mount serves them: read from the shards, each byte as part of a record or chunk that was checked.

A record of at most 1 MiB is checked whole, once for the mount. A larger one is checked by the chunk, as it is read;
where the index does not have the checksums of its chunks, a first check of the whole record makes them. When the
archive was written to (see `changes`), nothing counts as checked: the very bytes that are returned are compared.

`read_cached` never waits for storage; `read` may, and so runs in a thread; `defer` keeps such threads free. All may be
called from any thread, but `read_cached` from one at a time.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor

from ffrfs.archive.reader import checksum_error
from ffrfs.archive.shards import Shards
from ffrfs.errors import ArchiveError, ChecksumError
from ffrfs.format.chunks import CHUNK_BYTES, chunk_checksums, combine_chunks
from ffrfs.format.header import crc32
from ffrfs.format.index import Index
from ffrfs.format.names import decode_name
from ffrfs.fs.changes import ChangeWatch, Version
from ffrfs.fs.chunkstate import ChunkState
from ffrfs.fs.state import BAD, GOOD, SharedState

__all__ = ["Content"]

logger = logging.getLogger(__name__)

_MAX_INLINE_BYTES = CHUNK_BYTES  # one READ is never larger
_WHOLE_READ_BYTES = 4 * CHUNK_BYTES  # at once, when a large record is read whole
_CHECK_THREADS = 4
_ATTEMPTS = 3  # at reading from an archive that is being written to


class Content:
    """The data of an archive's files.

    Args: shards, index, the archive; state, where the processes of the mount note what they have checked; changes,
    whether that still holds. Made before the first fork.
    """

    def __init__(self, shards: Shards, index: Index, state: SharedState, changes: ChangeWatch) -> None:
        self._shards, self._index, self._records, self._state = shards, index, index.records, state
        self._changes, self._chunks = changes, ChunkState(shards, index)
        self._buffer = memoryview(bytearray(2 * CHUNK_BYTES))
        self._near = [source.read_near for source in shards.sources]
        self._can_tell_cached = True
        self._loading: dict[Hashable, Future[memoryview]] = {}
        self._learning: dict[int, Future[None]] = {}
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pool_pid = 0
        self._failed: dict[int, Version] = {}  # in which a record was found wrong
        for fd in shards.descriptors:
            # Records are read whole, and in an order that the kernel cannot guess; `prefetcher` reads ahead.
            if fd >= 0:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)

    def read_cached(self, inode: int, offset: int, size: int) -> memoryview | None:
        """Bytes [offset, offset + size) of a file if the archive's pages are in memory, else None.

        The view is of a buffer that the next call overwrites. Raises: ChecksumError; never waits for storage.
        """
        record = self._index.record(inode)
        shard, begin, length = self._records.extent(record)
        size = min(size, length - offset)
        if size <= 0:
            return self._buffer[:0]
        if length > CHUNK_BYTES:
            return self._read_chunks_cached(record, offset, size)
        checked = self._state.checked[record]
        if not self._changes.changed(shard):
            if checked == GOOD:
                part = self._cached(shard, begin + offset, size)
                return part if part is not None and self._changes.unchanged(shard) else None
            if checked == BAD:
                return None
        whole = self._cached(shard, begin, length)
        if whole is None:
            return None
        actual = crc32(whole)
        if self._was_cached_wrong(record, actual):
            return None
        self._check(inode, record, actual)
        return whole[offset : offset + size]

    def read(self, inode: int, offset: int, size: int) -> bytearray | memoryview:
        """Bytes [offset, offset + size) of a file, however long that takes. Called in a thread.

        Raises: ChecksumError, TruncatedError, OSError.
        """
        record = self._index.record(inode)
        shard, begin, length = self._records.extent(record)
        size = min(size, length - offset)
        if size <= 0:
            return bytearray()
        if length > CHUNK_BYTES:
            return self._read_chunks(inode, record, offset, size)
        for _ in range(_ATTEMPTS):
            checked = self._state.checked[record]
            if self._changes.changed(shard) or checked not in (GOOD, BAD):
                return self._load_once(record, lambda: self._load(inode, record))[offset : offset + size]
            data = self._shards.read(shard, begin + offset, size) if checked == GOOD else bytearray()
            if self._changes.unchanged(shard):
                if checked == BAD:
                    raise self._known_bad(inode, record)
                return data
        raise self._being_written(shard)

    def defer(self, inode: int, resume: Callable[[], object]) -> bool:
        """Whether a READ of the file has to wait for a check of the whole record, which is then begun or under way.

        Args: resume, called in another thread when the check has ended, whatever came out: `read` then waits for
        nothing but the bytes. Not called where the answer is no. For all READs of a record there is one check.
        """
        record = self._index.record(inode)
        if self._records.length(record) <= CHUNK_BYTES or not self._must_learn(record):
            return False
        self._learn_once(inode, record).add_done_callback(lambda _: resume())
        return True

    def version(self, shard: int) -> Version:
        """The version of a shard, to be taken before it is read for `accept`."""
        return self._changes.version(shard)

    def accept(self, inode: int, record: int, whole: memoryview, version: Version) -> bool:
        """Whether a whole record that somebody has read is what was packed, and may be used.

        Args: version, of its shard, taken before it was read. Raises: ChecksumError.
        """
        shard = self._records.shard(record)
        if len(whole) > CHUNK_BYTES:
            position = self._index.chunks.find(record)
            checksums = chunk_checksums(whole)
            actual = combine_chunks(checksums, len(whole))
            if self._was_cached_wrong(record, actual):
                return False
            self._check(inode, record, actual)
            self._chunks.learn(position, checksums)
            if self._changes.unchanged(shard):
                self._note_good(position)
            return True
        if self._state.checked[record] == GOOD and self._changes.unchanged(shard):
            return True
        actual = crc32(whole)
        if self._was_cached_wrong(record, actual):
            return False
        self._check(inode, record, actual)
        return True

    def _load(self, inode: int, record: int) -> memoryview:
        extent = self._records.extent(record)
        whole = self._shards.read(*extent)
        actual = crc32(whole)
        if self._was_cached_wrong(record, actual):
            whole = self._shards.read(*extent)
            actual = crc32(whole)
        self._check(inode, record, actual)
        return memoryview(whole)

    def _was_cached_wrong(self, record: int, actual: int) -> bool:
        """Whether a record has a wrong checksum, and reading it again may help: a cache on the node had it wrong."""
        return actual != self._records.checksum(record) and self._shards.distrust(*self._records.extent(record))

    def _load_once(self, key: Hashable, load: Callable[[], memoryview]) -> memoryview:
        """What `load` reads and checks, for the first who asks; who asks meanwhile gets the same bytes. The kernel asks
        for a file in several READs at once, and each would read all of a record or chunk in order to check it."""
        with self._lock:
            loading = self._loading.get(key)
            first = loading is None
            if loading is None:
                loading = self._loading[key] = Future()
        if first:
            try:
                loading.set_result(load())
            except BaseException as error:
                loading.set_exception(error)
            finally:
                with self._lock:
                    del self._loading[key]
        return loading.result()

    def _cached(self, shard: int, offset: int, size: int) -> memoryview | None:
        if not self._can_tell_cached:
            return None
        part = self._buffer[:size]
        try:
            count = self._near[shard](offset, (part,))
        except BlockingIOError:
            return None
        except OSError as error:
            self._can_tell_cached = False
            logger.info(
                "the storage of %s cannot tell what is cached (%s): reads go to threads", self._shards.path, error
            )
            return None
        return part if count == size else None

    # Large records

    def _region(self, record: int, offset: int, size: int, trusted: bool) -> tuple[int, int, int]:
        """What is to be read of a large record for some bytes of it: begin and end in the record, extended to whole
        chunks where these are still to be checked; and the position of the first chunk that the bytes are in.

        Args: trusted, whether what was found right before counts.
        """
        first = self._index.chunks.span(self._index.chunks.find(record))[0]
        end = offset + size
        begin_chunk, end_chunk = offset // CHUNK_BYTES, -(-end // CHUNK_BYTES)
        good = self._chunks.good
        begin = offset if trusted and good[first + begin_chunk] else begin_chunk * CHUNK_BYTES
        if not trusted or not good[first + end_chunk - 1]:
            end = min(end_chunk * CHUNK_BYTES, self._records.length(record))
        return begin, end, first + begin_chunk

    def _has_wrong_chunk(self, shard: int, begin: int, chunk: int, data: memoryview, trusted: bool) -> bool:
        """Whether a chunk in the bytes that `_region` gave is not as it should be; notes those that are."""
        at = -begin % CHUNK_BYTES
        chunk += at > 0
        checked = []
        for number, place in enumerate(range(at, len(data), CHUNK_BYTES), chunk):
            if trusted and self._chunks.good[number]:
                continue
            if crc32(data[place : place + CHUNK_BYTES]) != self._chunks.checksums[number]:
                return True
            checked.append(number)
        if checked and self._changes.unchanged(shard):
            for number in checked:
                self._chunks.good[number] = 1
        return False

    def _read_chunks_cached(self, record: int, offset: int, size: int) -> memoryview | None:
        if size > _MAX_INLINE_BYTES or not self._chunks.known[self._index.chunks.find(record)]:
            return None
        shard, start, _ = self._records.extent(record)
        trusted = not self._changes.changed(shard)
        begin, end, chunk = self._region(record, offset, size, trusted)
        data = self._cached(shard, start + begin, end - begin)
        if data is None or self._has_wrong_chunk(shard, begin, chunk, data, trusted):
            return None
        if trusted and not self._changes.unchanged(shard):
            return None
        return data[offset - begin : offset - begin + size]

    def _read_chunks(self, inode: int, record: int, offset: int, size: int) -> memoryview:
        shard = self._records.shard(record)
        for _ in range(_ATTEMPTS):
            if self._must_learn(record):
                self._learn_once(inode, record).result()
            if not self._chunks.known[self._index.chunks.find(record)]:
                raise self._known_bad(inode, record)
            trusted = not self._changes.changed(shard)
            region = self._region(record, offset, size, trusted)
            load = functools.partial(self._load_chunks, inode, record, *region, trusted)
            data = self._load_once((record, *region, trusted), load)
            if not trusted or self._changes.unchanged(shard):
                return data[offset - region[0] :][:size]
        raise self._being_written(shard)

    def _load_chunks(self, inode: int, record: int, begin: int, end: int, chunk: int, trusted: bool) -> memoryview:
        shard, start, _ = self._records.extent(record)
        for _ in range(_ATTEMPTS):
            data = memoryview(self._shards.read(shard, start + begin, end - begin))
            if not self._has_wrong_chunk(shard, begin, chunk, data, trusted):
                return data
            self._check_whole(inode, record)
        raise self._being_written(shard)

    def _must_learn(self, record: int) -> bool:
        """Whether a large record's chunks have no checksums yet, and a check of it might give them."""
        if self._chunks.known[self._index.chunks.find(record)]:
            return False
        return not self._is_known_bad(record)

    def _learn_once(self, inode: int, record: int) -> Future[None]:
        """The check of a whole record that gives the checksums of its chunks, begun by the first who asks."""
        with self._lock:
            if self._pool is None or self._pool_pid != os.getpid():  # threads do not survive a fork
                self._pool, self._pool_pid = ThreadPoolExecutor(_CHECK_THREADS, "ffrfs-check"), os.getpid()
                self._learning.clear()
            learning = self._learning.get(record)
            if learning is None:
                learning = self._learning[record] = self._pool.submit(self._learn, inode, record)
            return learning

    def _learn(self, inode: int, record: int) -> None:
        position = self._index.chunks.find(record)
        try:
            self._chunks.wait_for_another(position)
            if self._must_learn(record):
                self._check_whole(inode, record)
                self._chunks.keep()
        finally:
            with self._lock:
                del self._learning[record]

    def _note_good(self, position: int) -> None:
        begin, end = self._index.chunks.span(position)
        self._chunks.good[begin:end] = b"\1" * (end - begin)

    def _check_whole(self, inode: int, record: int) -> None:
        """Read a large record whole, and learn the checksums of its chunks. Raises: ChecksumError if it is not what
        was packed; at once if it was not the last time, and the archive is the same."""
        shard, begin, length = self._records.extent(record)
        position = self._index.chunks.find(record)
        version = self._changes.version(shard)
        if self._failed.get(record) == version or self._is_known_bad(record):
            raise self._known_bad(inode, record)
        checksums: list[int] = []
        buffer = memoryview(bytearray(min(_WHOLE_READ_BYTES, length)))
        try:
            for at in range(0, length, len(buffer)):
                part = buffer[: length - at]
                self._shards.read_into(shard, begin + at, part)
                checksums += chunk_checksums(part)
                self._chunks.progressed(position)
            actual = combine_chunks(checksums, length)
            if self._was_cached_wrong(record, actual):
                self._check_whole(inode, record)  # of what is fetched anew
                return
            if actual != self._records.checksum(record):
                self._failed[record] = version
            self._check(inode, record, actual)
            self._chunks.learn(position, checksums)
            if self._changes.unchanged(shard):
                self._note_good(position)
        finally:
            self._chunks.finished(position)

    # What was found

    def _check(self, inode: int, record: int, actual: int) -> None:
        """Note whether a record is good, where that will hold. Raises: ChecksumError."""
        unchanged = self._changes.unchanged(self._records.shard(record))
        if actual == self._records.checksum(record):
            if unchanged:
                self._state.checked[record] = GOOD
            return
        logged, self._state.checked[record] = self._state.checked[record] == BAD, BAD
        name = decode_name(self._index.path(inode))
        error = checksum_error(self._shards, self._records, record, actual, name)
        if not logged:
            logger.error("%s", error)
        raise error

    def _is_known_bad(self, record: int) -> bool:
        return self._state.checked[record] == BAD and not self._changes.changed(self._records.shard(record))

    def _known_bad(self, inode: int, record: int) -> ChecksumError:
        name = decode_name(self._index.path(inode))
        return ChecksumError(
            self._shards.path,
            f"{name} (record {record}) was found damaged before",
            record=record,
            expected=self._records.checksum(record),
            actual=-1,
        )

    def _being_written(self, shard: int) -> ArchiveError:
        return ArchiveError(
            self._shards.paths[shard], "it is being written to while it is mounted: write a new file, and rename it"
        )
