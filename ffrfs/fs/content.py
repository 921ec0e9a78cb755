"""File contents as a mount serves them: read from the shards, each record checked in full once per mount, and anew
when the archive was written to.

`read_cached` never waits for storage; `read` may, and so runs in a thread. `load` reads a whole small record.
"""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import Future

from ffrfs.archive.reader import checksum_error
from ffrfs.archive.shards import Shards
from ffrfs.errors import ArchiveError, ChecksumError
from ffrfs.format.header import crc32
from ffrfs.format.index import Index
from ffrfs.fs.changes import ChangeWatch, Version
from ffrfs.fs.state import BAD, GOOD, UNCHECKED, SharedState

__all__ = ["Content"]

logger = logging.getLogger(__name__)

MAX_INLINE_BYTES = 1 << 20  # a record up to this size is read and checked in one go; one FUSE READ is never larger
_CHECK_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 3  # at reading from an archive that is being written to


class Content:
    """The data of an archive's files.

    Args: shards, index, the archive; state, where the processes of the mount note what they have checked; changes,
    whether that still holds.
    """

    def __init__(self, shards: Shards, index: Index, state: SharedState, changes: ChangeWatch) -> None:
        self._shards, self._index, self._records, self._state = shards, index, index.records, state
        self._changes = changes
        self._buffer = memoryview(bytearray(MAX_INLINE_BYTES))
        self._can_tell_cached = True
        self._loading: dict[int, Future[memoryview | None]] = {}
        self._loading_lock = threading.Lock()
        for fd in shards.descriptors:
            # Records are read whole, and in an order that the kernel cannot guess; `prefetcher` reads ahead.
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
        version = self._changes.known[shard]
        checked = self._state.checked[record]
        if checked == GOOD:
            part = self._cached(shard, begin + offset, size) if size <= MAX_INLINE_BYTES else None
            return part if part is not None and self._changes.unchanged(shard, version) else None
        if checked == BAD or length > MAX_INLINE_BYTES:
            return None
        whole = self._cached(shard, begin, length)
        if whole is None or not self._check(inode, record, crc32(whole), version):
            return None
        return whole[offset : offset + size]

    def load_cached(self, inode: int) -> memoryview | None:
        """The whole of a record of at most `MAX_INLINE_BYTES`; otherwise as `read_cached`."""
        return self.read_cached(inode, 0, MAX_INLINE_BYTES)

    def read(self, inode: int, offset: int, size: int) -> bytearray | memoryview:
        """Bytes [offset, offset + size) of a file, however long that takes. Called in a thread.

        Raises: ChecksumError, TruncatedError, OSError.
        """
        shard = self._records.shard(self._index.record(inode))
        size = min(size, self._index.size(inode) - offset)
        if size <= 0:
            return bytearray()
        for _ in range(_ATTEMPTS):
            data = self._read_checked(inode, offset, size)
            if data is not None:
                return data
        raise ArchiveError(
            self._shards.paths[shard], "it is being written to while it is mounted: write a new file, and rename it"
        )

    def _read_checked(self, inode: int, offset: int, size: int) -> bytearray | memoryview | None:
        """As `read`; None if the shard was changed meanwhile."""
        record = self._index.record(inode)
        shard, begin, length = self._records.extent(record)
        version = self._changes.known[shard]
        if self._state.checked[record] == UNCHECKED:
            if length <= MAX_INLINE_BYTES:
                whole = self._load_once(inode, record, version)
                return None if whole is None else whole[offset : offset + size]
            self._check_large(inode, record, version)
        checked = self._state.checked[record]
        data = self._shards.read(shard, begin + offset, size) if checked == GOOD else None
        if not self._changes.unchanged(shard, version):
            return None
        if checked == BAD:
            raise self._known_bad(inode, record)
        return data

    def version(self, shard: int) -> Version:
        """The version of a shard, to be taken before it is read for `accept`."""
        return self._changes.known[shard]

    def accept(self, inode: int, record: int, whole: memoryview, version: Version) -> bool:
        """Whether a whole record that somebody has read is what was packed, and the shard still has the version.

        Raises: ChecksumError.
        """
        if self._state.checked[record] != GOOD:
            return self._check(inode, record, crc32(whole), version)
        return self._changes.unchanged(self._records.shard(record), version)

    def _load_once(self, inode: int, record: int, version: Version) -> memoryview | None:
        """A whole record, read and checked by the first who asks; who asks meanwhile gets the same bytes. The kernel
        asks for a file in several READs at once, and each would read all of the record in order to check it.
        Returns: None if the shard was changed meanwhile."""
        with self._loading_lock:
            loading = self._loading.get(record)
            first = loading is None
            if loading is None:
                loading = self._loading[record] = Future()
        if first:
            try:
                whole = self._shards.read(*self._records.extent(record))
                good = self._check(inode, record, crc32(whole), version)
                loading.set_result(memoryview(whole) if good else None)
            except BaseException as error:
                loading.set_exception(error)
            finally:
                with self._loading_lock:
                    del self._loading[record]
        return loading.result()

    def _cached(self, shard: int, offset: int, size: int) -> memoryview | None:
        if not self._can_tell_cached:
            return None
        part = self._buffer[:size]
        try:
            count = os.preadv(self._shards.descriptors[shard], [part], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            self._can_tell_cached = False
            logger.info(
                "the storage of %s cannot tell what is cached (%s): reads go to threads", self._shards.path, error
            )
            return None
        return part if count == size else None

    def _check(self, inode: int, record: int, actual: int, version: Version) -> bool:
        """Note whether a record is good. Returns: False if the shard was changed since it had the version, so that
        nothing is known. Raises: ChecksumError."""
        if not self._changes.unchanged(self._records.shard(record), version):
            return False
        if actual == self._records.checksum(record):
            self._state.checked[record] = GOOD
            return True
        self._state.checked[record] = BAD
        name = os.fsdecode(self._index.path(inode))
        error = checksum_error(self._shards, self._records, record, actual, name)
        logger.error("%s", error)
        raise error

    def _check_large(self, inode: int, record: int, version: Version) -> None:
        with self._state.checking(record):
            if self._state.checked[record] != UNCHECKED:  # somebody else was first
                return
            shard, begin, length = self._records.extent(record)
            buffer = memoryview(bytearray(min(_CHECK_CHUNK_BYTES, length)))
            actual = 0
            for at in range(0, length, len(buffer)):
                part = buffer[: length - at]
                self._shards.read_into(shard, begin + at, part)
                actual = crc32(part, actual)
            self._check(inode, record, actual, version)

    def _known_bad(self, inode: int, record: int) -> ChecksumError:
        name = os.fsdecode(self._index.path(inode))
        return ChecksumError(
            self._shards.path,
            f"{name} (record {record}) was found damaged before",
            record=record,
            expected=self._records.checksum(record),
            actual=-1,
        )
