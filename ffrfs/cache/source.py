"""A source whose blocks are kept in a cache on this node, each fetched once for all of its processes.

Any thread may call it, and forked children. A cache that fails, is full, or was removed costs time and nothing else.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ffrfs.cache.entry import BLOCK_BYTES, EntryFacts
from ffrfs.cache.folder import CacheFolder
from ffrfs.cache.options import CacheOptions
from ffrfs.sources.source import Source

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["CachedSource", "cached"]

logger = logging.getLogger(__name__)

_RUN_BLOCKS = 8  # fetched by one request
_FULL_SECONDS = 5.0  # after which a full cache is asked again


_alive: weakref.WeakSet[CachedSource] = weakref.WeakSet()


def cached(source: Source, options: CacheOptions | None) -> Source:
    """The source behind a cache; the source itself if there is none, or none that can be used. Raises: ConfigError."""
    if options is None or source.size_bytes == 0:
        return source
    try:
        folder = _folder(options)
        if not options.forced and _is_as_near(source, folder):
            return source
        return CachedSource(source, options, folder)
    except OSError as error:
        logger.warning("the cache %s is not used: %s", options.folder, error.strerror)
        return source


def _is_as_near(source: Source, folder: CacheFolder) -> bool:
    """Whether a file lies on the disk that the cache is on."""
    return source.descriptor >= 0 and os.stat(folder.path).st_dev == os.fstat(source.descriptor).st_dev


@lru_cache(maxsize=16)
def _folder(options: CacheOptions) -> CacheFolder:
    return CacheFolder(options)


def _begin_process() -> None:
    """After a fork: nobody of the parent's threads will finish what it had begun."""
    for source in list(_alive):
        source.begin_process()


os.register_at_fork(after_in_child=_begin_process)


class CachedSource(Source):
    """Args: source, where the bytes come from; folder, where they are kept. Raises: OSError if they cannot be."""

    is_cached = True

    def __init__(self, source: Source, options: CacheOptions, folder: CacheFolder) -> None:
        self._source, self._options = source, options
        self.name, self.place, self.identity, self.mode = source.name, source.place, source.identity, source.mode
        self.descriptor = source.descriptor
        self.size_bytes, self.mtime_ns, self.tag_ns = source.size_bytes, source.mtime_ns, source.tag_ns
        self._version = source.version()
        self._folder = folder
        self._entry = self._folder.entry(EntryFacts(self.name, self.place, self.size_bytes), self.identity)
        self._fd = self._entry.fd
        self._full_until = 0.0
        self._distrusted: set[int] = set()  # blocks
        self._reread: set[int] = set()  # by where they begin
        self._complained = False
        self.begin_process()
        _alive.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return cached, (self._source, self._options)

    def read_into(self, offset_bytes: int, buffer: WriteableBuffer) -> None:
        """As for every source."""
        view = memoryview(buffer).cast("B")
        if not len(view) or self._copy(offset_bytes, view):
            return
        if time.monotonic() >= self._full_until:
            self._load(offset_bytes, len(view))
            if self._copy(offset_bytes, view):
                return
        self._source.read_into(offset_bytes, view)

    def read_near(self, offset_bytes: int, buffers: Sequence[WriteableBuffer]) -> int:
        """As for every source; "in memory" is the page cache of what is in the cache."""
        first, end = _blocks(offset_bytes, sum([memoryview(buffer).nbytes for buffer in buffers]))
        before = self._entry.generations(first, end)
        if 0 not in before:  # a hole would be read as zeros
            count = os.preadv(self._fd, buffers, offset_bytes, os.RWF_NOWAIT)
            if self._entry.generations(first, end) == before:
                return count
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def distrust(self, offset_bytes: int, length_bytes: int) -> bool:
        """As for every source. A block is fetched anew once, and what was read before that is read anew once; found
        wrong again, it is the archive that is damaged."""
        first, end = _blocks(offset_bytes, length_bytes)
        suspects = [block for block in range(first, end) if block not in self._distrusted]
        there = [block for block in suspects if self._entry.generations(block, block + 1) != b"\0"]
        self._distrusted.update(suspects)
        for block in there:
            self._entry.drop(block, block + 1)
        asked_before = offset_bytes in self._reread
        self._reread.add(offset_bytes)
        if there:
            logger.warning("%s: %d blocks in the cache are suspect and are fetched anew", self.name, len(there))
        return not asked_before

    def warm(self, offset_bytes: int, length_bytes: int) -> int:
        """As for every source; nothing while the cache is full."""
        return 0 if time.monotonic() < self._full_until else self._load(offset_bytes, length_bytes)

    def version(self) -> tuple[int, ...]:
        """As for every source."""
        return self._source.version()

    def is_replaced(self) -> bool:
        """As for every source."""
        return self._source.is_replaced()

    def close(self) -> None:
        """As for every source. What was fetched is made durable."""
        if self._fd >= 0:
            self._fd = -1
            self._sync()
            self._entry.close()
        self._source.close()

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()

    def begin_process(self) -> None:
        """Forget what threads of the parent process were doing."""
        self._lock = threading.Lock()
        self._loading: dict[int, Future[None]] = {}
        self._entry.begin_process()

    def _copy(self, offset: int, view: memoryview) -> bool:
        """Fill a view from the cache, if all of it is there."""
        first, end = _blocks(offset, len(view))
        before = self._entry.generations(first, end)
        if 0 in before:
            return False
        done = 0
        try:
            while done < len(view):
                count = os.preadv(self._fd, (view[done:],), offset + done)
                if count == 0:
                    return False  # it was cut short under us
                done += count
        except OSError as error:
            self._complain(error)
            return False
        return self._entry.generations(first, end) == before

    def _load(self, offset: int, length: int) -> int:
        """Have the blocks of a range in the cache, as far as there is room; returns how many bytes were fetched."""
        own: list[tuple[int, int]] = []
        others: list[Future[None]] = []
        done: Future[None] = Future()
        with self._lock:
            for block in self._missing(*_blocks(offset, length)):
                loading = self._loading.setdefault(block, done)
                if loading is not done:
                    others.append(loading)
                elif own and own[-1][1] == block and block - own[-1][0] < _RUN_BLOCKS:
                    own[-1] = (own[-1][0], block + 1)
                else:
                    own.append((block, block + 1))
        try:
            fetched = sum(self._fetch(first, end) for first, end in own)
        finally:
            with self._lock:
                for first, end in own:
                    for block in range(first, end):
                        del self._loading[block]
            done.set_result(None)
        for loading in others:
            loading.result()
        return fetched

    def _missing(self, first: int, end: int) -> list[int]:
        return [block for block, there in enumerate(self._entry.generations(first, end), first) if not there]

    def _fetch(self, first: int, end: int) -> int:
        """Fetch what another process has not fetched meanwhile. Raises as `read_into`."""
        fetched = 0
        try:
            with self._entry.fetching(first, end) as alone:
                runs = self._entry.missing(first, end, _RUN_BLOCKS) if alone else []
                for begin, stop in runs:
                    data = bytearray(min(stop * BLOCK_BYTES, self.size_bytes) - begin * BLOCK_BYTES)
                    self._source.read_into(begin * BLOCK_BYTES, data)
                    fetched += len(data)
                    self._keep(begin, memoryview(data))
        finally:
            if self._entry.wants_sync():
                self._sync()
        return fetched

    def _keep(self, first: int, data: memoryview) -> None:
        if self._source.version() != self._version:
            return  # bytes of another version
        try:
            kept = self._folder.store(len(data), lambda: self._entry.write(first, data))
        except OSError as error:
            self._complain(error)
            kept = False
        if not kept:
            self._full_until = time.monotonic() + _FULL_SECONDS

    def _sync(self) -> None:
        try:
            self._entry.sync()
        except (OSError, ValueError) as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            logger.warning("the cache %s fails, reading past it: %s", self._options.folder, error)
        self._complained = True


def _blocks(offset: int, length: int) -> tuple[int, int]:
    return offset // BLOCK_BYTES, -(-(offset + length) // BLOCK_BYTES)
