"""What the processes of one mount know of the chunks of large records: their checksums, and which were found right.

One anonymous shared mapping, made before the first fork. Whoever writes a value writes the same, so there is no lock.
"""

from __future__ import annotations

import logging
import mmap
import threading
import time

import numpy as np

from ffrfs.archive.index_file import find_index_file, save_index_file
from ffrfs.archive.opening import KEEP_ROWS, build
from ffrfs.archive.shards import Shards
from ffrfs.format.index import Index

__all__ = ["ChunkState"]

logger = logging.getLogger(__name__)

KEEP_CHUNKS = 256  # learnt: below this they are learnt again in a second, and a file beside the archive is not worth it
_KEEP_SECONDS = 2.0  # after these were learnt, more are waited for, since each time the whole index is written
_KEEP_BYTES_PER_SECOND = 10e6  # so that this is no load on the storage where the index is large
_OF_RECORDS = ("offsets", "lengths", "checksums", "first_records")
_POLL_SECONDS = 0.02
_STALLED_SECONDS = 2.0  # a check by another process that has not come on for so long may have been killed


class ChunkState:
    """The checksums of chunks, from the index or learnt by reading a record whole.

    Args: shards, index, the archive. Attributes: checksums, uint32, one a chunk; good, one byte a chunk, 1 where it was
    read and found right; known, one byte a large record, 1 where its chunks' checksums are known.
    """

    def __init__(self, shards: Shards, index: Index) -> None:
        self._shards, self._index = shards, index
        chunks, large = len(index.chunks), len(index.chunks.large)
        memory = memoryview(mmap.mmap(-1, 8 * large + 5 * chunks + large + 1))
        self._progress = memory[: 8 * large].cast("Q")
        self.checksums = memory[8 * large : 8 * large + 4 * chunks].cast("I")
        self.good = memory[8 * large + 4 * chunks : 8 * large + 5 * chunks]
        self.known = memory[8 * large + 5 * chunks : -1]
        if index.arrays["chunks_known"].any():
            self.checksums[:] = np.ascontiguousarray(index.arrays["chunk_checksums"], np.uint32).data
            self.known[:] = np.ascontiguousarray(index.arrays["chunks_known"], np.uint8).data
        self._learnt = 0
        self._keeper: threading.Timer | None = None
        self._lock = threading.Lock()

    def progressed(self, position: int) -> None:
        """The calling process has read more of the large record at this position."""
        self._progress[position] += 1

    def wait_for_another(self, position: int) -> None:
        """Wait while another process gets on with reading the record, until the checksums are known or it stops."""
        last, since = self._progress[position], time.monotonic()
        if not last:
            return
        while not self.known[position] and self._progress[position]:
            time.sleep(_POLL_SECONDS)
            if self._progress[position] != last:
                last, since = self._progress[position], time.monotonic()
            elif time.monotonic() - since > _STALLED_SECONDS:
                return

    def learn(self, position: int, checksums: list[int]) -> None:
        """The checksums of a record's chunks, which make that of the record."""
        begin, end = self._index.chunks.span(position)
        self.checksums[begin:end] = memoryview(np.array(checksums, np.uint32))
        self.known[position] = 1
        self._learnt += end - begin

    def finished(self, position: int) -> None:
        """The calling process reads the record no longer."""
        self._progress[position] = 0

    def keep(self) -> None:
        """Write what was learnt into the index file, soon, in another thread."""
        with self._lock:
            if self._learnt < KEEP_CHUNKS or self._keeper is not None:
                return
            size_bytes = sum(array.nbytes for array in self._index.arrays.values())
            self._keeper = threading.Timer(_KEEP_SECONDS + size_bytes / _KEEP_BYTES_PER_SECOND, self._write)
            self._keeper.daemon = True
            self._keeper.start()

    def _write(self) -> None:
        learnt = self._learnt
        try:
            index = self._archive_index()
            if index is not None:
                checksums, known = np.array(self.checksums, np.uint32), np.array(self.known, np.uint8)
                save_index_file(index.with_chunks(checksums, known), self._shards)
        except Exception as error:
            logger.info("the checksums of chunks are not kept: %s", error)
        with self._lock:
            self._learnt -= learnt
            self._keeper = None

    def _archive_index(self) -> Index | None:
        """The index that the archive's file has or would have: what is mounted may be a view of it. None where there
        is none, or it is of other records."""
        found = find_index_file(self._shards)
        if found is None and len(self._index) >= KEEP_ROWS:
            return None  # there was no place for it
        index = found[1] if found is not None else build(self._shards)
        mounted = self._index.arrays
        same = all(np.array_equal(index.arrays[name], mounted[name]) for name in _OF_RECORDS)
        return index if same else None
