"""Reading records in process: one by one inline, batches merged into few reads and read in parallel.

May be called from any thread, and in forked children: reads are positioned and share no state but the descriptors.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffrfs.archive.opening import load_records
from ffrfs.archive.shards import ArchivePath, Shards
from ffrfs.errors import ChecksumError
from ffrfs.format.header import crc32
from ffrfs.format.records import Extent, Records

__all__ = ["FileReader", "RecordReader", "check_record", "checksum_error"]

Bytes = NDArray[np.uint8]
_Job = tuple[Extent, list[int], Bytes]  # one read: where the bytes lie, the records there, where the bytes go
_Pieces = list[tuple[int, Bytes]]  # record numbers and their bytes

MAX_THREADS = 64  # of one process; on storage with latency this is how many reads are under way at once
_CORES = len(os.sched_getaffinity(0))
_PART_BYTES = 1 << 21  # of a batch that is in memory: below this another thread is not worth waking
_SPARE_BYTES = 1 << 26  # of memory that is kept for the next batch


def check_record(
    shards: Shards, records: Records, record: int, data: Bytes | bytearray | memoryview, name: str = ""
) -> None:
    """Check a whole record against its CRC32.

    Args: name, the file that the record is, if known, for the message. Raises: ChecksumError.
    """
    expected = records.checksum(record)
    actual = crc32(data)
    if actual != expected:
        raise checksum_error(shards, records, record, actual, name)


def checksum_error(shards: Shards, records: Records, record: int, actual: int, name: str = "") -> ChecksumError:
    """The error for a record whose bytes have the CRC32 `actual`."""
    shard, offset, length = records.extent(record)
    expected = records.checksum(record)
    what = f"{name} (record {record})" if name else f"record {record}"
    return ChecksumError(
        shards.paths[shard],
        f"{what}, {length} bytes at byte {offset}, has checksum {actual:#010x}, it should be {expected:#010x}:"
        " the archive is damaged there",
        record=record,
        expected=expected,
        actual=actual,
    )


class RecordReader:
    """Reads records of open shards.

    Args: check, whether every record read is compared with its CRC32.
    """

    def __init__(self, shards: Shards, records: Records, check: bool = True) -> None:
        self.shards, self.records, self.check = shards, records, check
        self._pool: ThreadPoolExecutor | None = None
        self._pool_pid = 0
        self._lock = threading.Lock()
        self._spare: deque[Bytes] = deque(maxlen=1)

    def read_one(self, record: int) -> Bytes:
        """The bytes of one record, shape (length,). Raises: IndexError, ChecksumError, TruncatedError, OSError."""
        shard, offset, length = self.records.extent(record)
        buffer = np.empty(length, np.uint8)
        self.shards.read_into(shard, offset, buffer)
        if self.check:
            check_record(self.shards, self.records, record, buffer)
        return buffer

    def read(self, numbers: Sequence[int]) -> list[Bytes]:
        """The bytes of many records, in the order asked for.

        Sorted by place and merged into extents; those that are in the page cache are read at once, the others in
        parallel. The results are views of one buffer: memory that is taken at once and in large pages costs a fraction
        of what an allocation for each record does, and is used again for the next batch once all of them are gone.
        Raises as `read_one`, the first error met.
        """
        merged = self.records.merge(set(numbers))
        total_bytes = sum(extent.length_bytes for extent, _ in merged)
        buffer = self._memory(total_bytes)
        jobs: list[_Job] = []
        end = 0
        for extent, group in merged:
            begin, end = end, end + extent.length_bytes
            jobs.append((extent, group, buffer[begin:end]))
        results: dict[int, Bytes] = {}
        for pieces in self._read_all(jobs, total_bytes):
            results.update(pieces)
        return [results[record] for record in numbers]

    def _memory(self, size_bytes: int) -> Bytes:
        """Memory for a batch: that of an earlier one, whose pages are there, if nobody has a view of it any more."""
        try:
            memory = self._spare.pop()
        except IndexError:
            memory = np.empty(0, np.uint8)
        if len(memory) < size_bytes:
            memory = np.empty(size_bytes, np.uint8)
        # Through a memoryview, so that views hold this array and not the memory itself: its end is theirs.
        lent = np.frombuffer(memory.data, np.uint8)
        if len(memory) <= _SPARE_BYTES:
            weakref.finalize(lent, self._spare.append, memory).atexit = False
        return lent

    def _read_all(self, jobs: list[_Job], total_bytes: int) -> Iterator[_Pieces]:
        """Do all jobs: first what is in the page cache, by as many threads as that is worth, then the rest, each in a
        thread of its own."""
        parts = max(min(_CORES, total_bytes // _PART_BYTES), 1)
        waiting: list[_Job] = []
        shares = [jobs[part::parts] for part in range(parts)]
        others = self._threads().map(self._read_cached, shares[1:]) if parts > 1 else iter(())
        for pieces, cold in (self._read_cached(shares[0]), *others):
            yield pieces
            waiting += cold
        if waiting:
            yield from self._threads().map(self._read_extent, waiting)

    def close(self) -> None:
        """End the threads. Results stay valid."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None and self._pool_pid == os.getpid():
            pool.shutdown(wait=False)

    def _read_cached(self, jobs: list[_Job]) -> tuple[_Pieces, list[_Job]]:
        """Do the jobs whose bytes are in the page cache; returns their records, and the other jobs."""
        pieces: _Pieces = []
        cold = []
        descriptors = self.shards.descriptors
        for job in jobs:
            (shard, offset, length), _, part = job
            try:
                count = os.preadv(descriptors[shard], (part,), offset, os.RWF_NOWAIT)
            except OSError:  # EAGAIN: not in the page cache; EOPNOTSUPP: storage that cannot tell
                count = -1
            if count == length:
                self._cut(job, pieces)
            else:
                cold.append(job)
        return pieces, cold

    def _read_extent(self, job: _Job) -> _Pieces:
        extent, _, part = job
        pieces: _Pieces = []
        self.shards.read_into(extent.shard, extent.offset_bytes, part)
        self._cut(job, pieces)
        return pieces

    def _cut(self, job: _Job, pieces: _Pieces) -> None:
        """Append the records of a job, as views of the bytes of its extent; each checked."""
        (_, begin, _), group, part = job
        for record in group:
            content = part
            if len(group) > 1:
                _, offset, length = self.records.extent(record)
                content = part[offset - begin : offset - begin + length]
            if self.check:
                check_record(self.shards, self.records, record, content)
            pieces.append((record, content))

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None or self._pool_pid != os.getpid():  # threads do not survive a fork
                self._pool, self._pool_pid = ThreadPoolExecutor(MAX_THREADS, "ffrfs-read"), os.getpid()
            return self._pool


class FileReader:
    """The records of an archive by number, as HFAiLab/ffrecord's class of this name.

    Args: fname, an .ffr file, a list of them, or a folder of shards; check_data, whether every record read is compared
    with its CRC32. Attributes: n, the number of records; fnames, the files; check_data.
    Raises: OSError if a file cannot be opened; FormatError, TruncatedError if its header is wrong.
    Source: HFAiLab/ffrecord fileio.py.
    """

    def __init__(self, fname: ArchivePath | Iterable[ArchivePath], check_data: bool = True) -> None:
        self._shards: Shards | None = Shards(fname)
        self.fnames = list(self._shards.paths)
        self.check_data = check_data
        self._records = load_records(self._shards)
        self._reader = RecordReader(self._shards, self._records, check_data)
        self.n = len(self._records)

    def read(self, indices: Iterable[int]) -> list[Bytes]:
        """Read a batch of records in one go, each a uint8 array of shape (length,), in the order asked for.

        Raises: RecordIndexError, ChecksumError, TruncatedError, OSError; ValueError if the reader is closed.
        """
        self._check_open()
        return self._reader.read([self._records.check(int(index)) for index in indices])

    def read_one(self, index: int) -> Bytes:
        """Read one record: a uint8 array of shape (length,). Raises as `read`."""
        self._check_open()
        return self._reader.read_one(self._records.check(int(index)))

    def validate(self) -> None:
        """Read every record and check it. Raises: ChecksumError at the first damaged one."""
        self._check_open()
        checking = RecordReader(self._check_open(), self._records, check=True)
        for record in range(self.n):
            checking.read_one(record)

    def close(self) -> None:
        """Close the files; arrays already read stay valid."""
        if self._shards is not None:
            self._reader.close()
            self._shards.close()
            self._shards = None

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return FileReader, (self.fnames, self.check_data)

    def _check_open(self) -> Shards:
        if self._shards is None:
            raise ValueError(f"the reader of {self.fnames[0]} is closed")
        return self._shards
