"""Reading records in process: one by one inline, batches merged into few reads and read in parallel.

May be called from any thread, and in forked children: reads are positioned and share no state but the descriptors.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffrfs.archive.layout import crc32
from ffrfs.archive.opening import load_records
from ffrfs.archive.records import Records
from ffrfs.archive.shards import ArchivePath, Shards
from ffrfs.errors import ChecksumError

__all__ = ["FileReader", "RecordReader", "check_record", "checksum_error", "merge_records"]

Bytes = NDArray[np.uint8]

MAX_THREADS = 32  # of one process; on storage with latency this is how many reads are under way at once
GAP_BYTES = 1 << 16  # a hole that is cheaper to read over than to seek over
EXTENT_BYTES = 1 << 23  # where merging stops, so that a large batch still is several reads in parallel


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


def merge_records(records: Records, numbers: Iterable[int]) -> list[list[int]]:
    """Group record numbers so that each group is one read.

    Args: numbers, in any order, each once. Returns: groups in archive order; the records of a group lie in one shard,
    with holes of at most `GAP_BYTES` between them and about `EXTENT_BYTES` together. Cost: O(n log n), no I/O.
    """
    groups: list[list[int]] = []
    end = begin = last_shard = -1
    for record in sorted(numbers):
        shard, offset, length = records.extent(record)
        near = shard == last_shard and 0 <= offset - end <= GAP_BYTES
        if near and offset - begin < EXTENT_BYTES:
            groups[-1].append(record)
        else:
            groups.append([record])
            begin, last_shard = offset, shard
        end = offset + length
    return groups


class RecordReader:
    """Reads records of open shards.

    Args: check, whether every record read is compared with its CRC32.
    """

    def __init__(self, shards: Shards, records: Records, check: bool = True) -> None:
        self.shards, self.records, self.check = shards, records, check
        self._pool: ThreadPoolExecutor | None = None
        self._pool_pid = 0
        self._lock = threading.Lock()

    def read_one(self, record: int) -> Bytes:
        """The bytes of one record, shape (length,). Raises: IndexError, ChecksumError, TruncatedError, OSError."""
        shard, offset, length = self.records.extent(record)
        buffer = np.empty(length, np.uint8)
        self.shards.read_into(shard, offset, buffer.data)
        if self.check:
            check_record(self.shards, self.records, record, buffer)
        return buffer

    def read(self, numbers: Sequence[int]) -> list[Bytes]:
        """The bytes of many records, in the order asked for.

        What is in the page cache is read at once; the rest is sorted by place, merged into extents and read in
        parallel. Neighbours that were merged share one buffer, of which the results are views.
        Raises as `read_one`, the first error met.
        """
        results: dict[int, Bytes] = {}
        missing = [record for record in dict.fromkeys(numbers) if not self._read_cached(record, results)]
        if missing:
            for extent in self._threads().map(self._read_extent, merge_records(self.records, missing)):
                results.update(extent)
        return [results[record] for record in numbers]

    def close(self) -> None:
        """End the threads. Results stay valid."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None and self._pool_pid == os.getpid():
            pool.shutdown(wait=False)

    def _read_cached(self, record: int, results: dict[int, Bytes]) -> bool:
        shard, offset, length = self.records.extent(record)
        buffer = np.empty(length, np.uint8)
        if length:
            try:
                if os.preadv(self.shards.descriptors[shard], [buffer.data], offset, os.RWF_NOWAIT) != length:
                    return False
            except OSError:  # EAGAIN: not in the page cache; EOPNOTSUPP: storage that cannot tell
                return False
        if self.check:
            check_record(self.shards, self.records, record, buffer)
        results[record] = buffer
        return True

    def _read_extent(self, group: list[int]) -> list[tuple[int, Bytes]]:
        first_offset = self.records.extent(group[0]).offset_bytes
        shard, last_offset, last_length = self.records.extent(group[-1])
        buffer = np.empty(last_offset + last_length - first_offset, np.uint8)
        self.shards.read_into(shard, first_offset, buffer.data)
        results = []
        for record in group:
            _, offset, length = self.records.extent(record)
            data = buffer[offset - first_offset : offset - first_offset + length]
            if self.check:
                check_record(self.shards, self.records, record, data)
            results.append((record, data))
        return results

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
