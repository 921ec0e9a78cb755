"""Reading records in process: one by one inline, batches merged into few reads and read in parallel.

May be called from any thread, and in forked children: reads are positioned and share no state but the descriptors.
"""

from __future__ import annotations

import contextlib
import operator
import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ffrfs.archive.memory import RecordMemory
from ffrfs.archive.opening import load_records
from ffrfs.archive.shards import ArchivePath, Shards
from ffrfs.errors import ChecksumError
from ffrfs.format.header import crc32
from ffrfs.format.records import EXTENT_BYTES, GAP_BYTES, Extent, Records

__all__ = ["FileReader", "RecordReader", "check_or_reread", "check_record", "checksum_error"]

Bytes = NDArray[np.uint8]
_Job = tuple[Extent, list[int]]  # one read: where the bytes lie, and the records there

MAX_THREADS = 64  # of one process; on storage with latency this is how many reads are under way at once
_CORES = len(os.sched_getaffinity(0))
_PART_BYTES = 1 << 21  # of a batch that is in memory: below this another thread is not worth waking
_HOLE = np.empty(GAP_BYTES, np.uint8)  # where all threads put what lies between records, and none looks


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


def check_or_reread(
    shards: Shards, records: Records, record: int, data: Bytes | bytearray | memoryview, name: str = ""
) -> None:
    """As `check_record`; what a cache had wrong is read again into `data` first."""
    if crc32(data) != records.checksum(record):
        shard, offset, length = records.extent(record)
        if shards.distrust(shard, offset, length):
            shards.read_into(shard, offset, data)
        check_record(shards, records, record, data, name)


class RecordReader:
    """Reads records of open shards.

    Args: check, whether every record read is compared with its CRC32.
    """

    def __init__(self, shards: Shards, records: Records, check: bool = True) -> None:
        self.shards, self.records, self.check = shards, records, check
        self._pool: ThreadPoolExecutor | None = None
        self._pool_pid = 0
        self._lock, self._memory = threading.Lock(), RecordMemory()

    def read_one(self, record: int) -> Bytes:
        """The bytes of one record, shape (length,). Raises: IndexError, ChecksumError, TruncatedError, OSError."""
        shard, offset, length = self.records.extent(record)
        buffer = self._memory.take(length)
        self.shards.read_into(shard, offset, buffer)
        if self.check:
            check_or_reread(self.shards, self.records, record, buffer)
        return buffer

    def read(self, numbers: Sequence[int]) -> list[Bytes]:
        """The bytes of many records, in the order asked for, each in memory of its own.

        Sorted by place and merged into extents; those that are in the page cache are read at once, the others in
        parallel. Raises as `read_one`, the first error met.
        """
        results: dict[int, Bytes] = {}
        jobs = self.records.merge(set(numbers))
        cold = self._read_near(jobs, results)
        if cold:
            deque(self._threads().map(self._read_extent, cold, repeat(results)), 0)
        found = [results[record] for record in numbers]
        return found if len(results) == len(found) else _without_sharing(found)

    def prefetch(self, numbers: Iterable[int]) -> None:
        """Have records read into the page cache, or the node's cache, which all processes share; returns at once."""
        for (shard, offset, length), _ in self.records.merge(set(numbers)):
            with contextlib.suppress(OSError):  # a hint; who reads will be told
                source = self.shards.sources[shard]
                if source.is_cached:
                    self._threads().submit(source.warm, offset, length)
                elif source.descriptor >= 0:
                    os.posix_fadvise(source.descriptor, offset, length, os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        """End the threads and give memory back. Results stay valid."""
        self._memory = RecordMemory()
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None and self._pool_pid == os.getpid():
            pool.shutdown(wait=False)

    def _read_near(self, jobs: list[_Job], results: dict[int, Bytes]) -> list[_Job]:
        """Do the jobs whose bytes are in the page cache, in as many threads as that is worth; returns the others."""
        total_bytes = sum([extent[2] for extent, _ in jobs])
        parts = min(_CORES, total_bytes // _PART_BYTES)
        if parts < 2:
            return self._read_cached(jobs, results)
        shares = [jobs[part::parts] for part in range(1, parts)]
        others = self._threads().map(self._read_cached, shares, repeat(results))
        cold = self._read_cached(jobs[::parts], results)
        for waiting in others:
            cold += waiting
        return cold

    def _read_cached(self, jobs: list[_Job], results: dict[int, Bytes]) -> list[_Job]:
        """Do the jobs whose bytes are in the page cache; returns the others. What costs is the time of each record."""
        cold = []
        sources, take = self.shards.sources, self._memory.take
        checksum = self.records.checksum if self.check else None
        for job in jobs:
            (shard, offset, length), group = job
            record = group[0]
            buffers = [take(length)] if len(group) == 1 else self._vector(group)
            try:
                count = sources[shard].read_near(offset, buffers)
            except OSError:  # EAGAIN: not in the page cache; EOPNOTSUPP: cannot tell; EINVAL: too many buffers
                count = -1
            if count != length:
                cold.append(job)
            elif len(group) > 1:
                self._keep(group, buffers, results)
            elif checksum is None or crc32(buffers[0]) == checksum(record):
                results[record] = buffers[0]
            else:
                self._keep(group, buffers, results)
        return cold

    def _read_extent(self, job: _Job, results: dict[int, Bytes]) -> None:
        """Do a job in one read, however many records it has: on storage with latency it is the reads that cost.

        But those of a very large record, which must not be in memory twice.
        """
        (shard, offset, length), group = job
        buffers, read_into = self._vector(group), self.shards.read_into
        at_once = len(buffers) > 1 and length <= 2 * EXTENT_BYTES
        whole = self._memory.take(length if at_once else 0)
        if at_once:
            read_into(shard, offset, whole)
        end = 0
        for buffer in buffers:
            begin, end = end, end + len(buffer)
            if at_once:
                buffer[:] = whole[begin:end]
            elif buffer.base is not _HOLE:
                read_into(shard, offset + begin, buffer)
        self._keep(group, buffers, results)

    def _vector(self, group: list[int]) -> list[Bytes]:
        """Memory for each of some neighbouring records, and for what lies between them."""
        buffers: list[Bytes] = []
        take = self._memory.take
        end = self.records.extent(group[0]).offset_bytes
        for record in group:
            _, offset, length = self.records.extent(record)
            if offset > end:
                buffers.append(_HOLE[: offset - end])
            buffers.append(take(length))
            end = offset + length
        return buffers

    def _keep(self, group: list[int], buffers: list[Bytes], results: dict[int, Bytes]) -> None:
        """Check the records that were read into these buffers, some of which hold what lay between them."""
        if len(buffers) > len(group):
            buffers = [buffer for buffer in buffers if buffer.base is not _HOLE]
        if self.check:
            for record, buffer in zip(group, buffers, strict=True):
                check_or_reread(self.shards, self.records, record, buffer)
        results.update(zip(group, buffers, strict=True))

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None or self._pool_pid != os.getpid():  # threads do not survive a fork
                self._pool, self._pool_pid = ThreadPoolExecutor(MAX_THREADS, "ffrfs-read"), os.getpid()
            return self._pool


def _without_sharing(arrays: list[Bytes]) -> list[Bytes]:
    """The arrays, with a copy where one stands a second time: who changes one must not change another."""
    seen: set[int] = set()
    single = []
    for array in arrays:
        single.append(array.copy() if id(array) in seen else array)
        seen.add(id(array))
    return single


class FileReader:
    """The records of an archive by number, as HFAiLab/ffrecord's class of this name.

    Args: fname, an .ffr file, a URL of one, a list of them, or a folder of shards; check_data, whether every record
    read is compared with its CRC32; without, a wrong checksum of a header too is only warned of. Attributes: n, the
    number of records; fnames, the files; check_data.
    Raises: OSError if a file cannot be opened; FormatError, TruncatedError if its header is wrong.
    Source: HFAiLab/ffrecord fileio.py.
    """

    def __init__(self, fname: ArchivePath | Iterable[ArchivePath], check_data: bool = True) -> None:
        self._shards: Shards | None = Shards(fname)
        self.fnames, self._names = list(self._shards.paths), list(self._shards.names)
        self.check_data = check_data
        self._records = load_records(self._shards, check_data)
        self._reader = RecordReader(self._shards, self._records, check_data)
        self.n = len(self._records)

    def read(self, indices: Iterable[SupportsIndex]) -> list[Bytes]:
        """Read a batch of records in one go, each a uint8 array of shape (length,), in the order asked for.

        Raises: RecordIndexError; TypeError for what is no integer; ChecksumError, TruncatedError, OSError; ValueError
        if the reader is closed.
        """
        self._check_open()
        return self._reader.read(self._numbers(indices))

    def read_one(self, index: SupportsIndex) -> Bytes:
        """Read one record: a uint8 array of shape (length,). Raises as `read`."""
        self._check_open()
        return self._reader.read_one(self._number(index))

    def validate(self) -> None:
        """Read the headers again and check them, as the reference does; `verify` checks the records too.

        Raises: FormatError, TruncatedError at the first that is wrong.
        """
        shards = self._check_open()
        for shard in range(len(shards.paths)):
            shards.header(shard)

    def verify(self) -> None:
        """Read everything and check it: headers, and each record against its CRC32.

        Raises: as `validate`; ChecksumError at the first damaged record.
        """
        self.validate()
        checking = RecordReader(self._check_open(), self._records, check=True)
        for record in range(self.n):
            checking.read_one(record)

    def size(self, index: SupportsIndex) -> int:
        """The size in bytes of a record. Raises: RecordIndexError."""
        return self._records.length(self._number(index))

    def get_offsets(self, file_index: int) -> NDArray[np.int64]:
        """Where the records of a file begin, in bytes, and its size at the end: shape (records of the file + 1,)."""
        size = self._check_open().sizes[file_index]
        return np.append(self._records.offsets[self._of_file(file_index)], size)

    def get_checksums(self, file_index: int) -> NDArray[np.uint32]:
        """The CRC32 of each record of a file, shape (records of the file,)."""
        return self._records.checksums[self._of_file(file_index)].copy()

    def prefetch(self, indices: Iterable[SupportsIndex]) -> None:
        """Say that these records will be read soon: the kernel begins to read them, and nothing is waited for."""
        self._check_open()
        self._reader.prefetch(self._numbers(indices))

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
        return FileReader, (self._names, self.check_data)

    def _numbers(self, indices: Iterable[SupportsIndex]) -> list[int]:
        given = list(indices)
        try:
            numbers = list(map(operator.index, given))
        except TypeError:
            numbers = [-1]  # one that no record has
        if numbers and not 0 <= min(numbers) <= max(numbers) < self.n:
            return list(map(self._number, given))  # raises, and says for which
        return numbers

    def _number(self, index: SupportsIndex) -> int:
        try:
            return self._records.check(operator.index(index))
        except TypeError:
            raise TypeError(f"records are numbered by integers, and {index!r} is a {type(index).__name__}") from None

    def _of_file(self, file_index: int) -> slice:
        first = self._records.first
        return slice(int(first[file_index]), int(first[range(len(first))[file_index] + 1]))

    def _check_open(self) -> Shards:
        if self._shards is None:
            raise ValueError(f"the reader of {self.fnames[0]} is closed")
        return self._shards
