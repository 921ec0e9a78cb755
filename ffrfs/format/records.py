"""The list of records of an archive, over all its shards: where each lies and what its CRC32 is. Pure; numpy only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ffrfs.errors import RecordIndexError
from ffrfs.format.header import Header

__all__ = ["Extent", "Records", "sum_bytes"]

GAP_BYTES = 1 << 16  # a hole that is cheaper to read over than to seek over
EXTENT_BYTES = 1 << 23  # where merging stops, so that a large batch still is several reads in parallel


class Extent(NamedTuple):
    """Where bytes lie: the shard's number, and there an offset and a length in bytes."""

    shard: int
    offset_bytes: int
    length_bytes: int


class Records:
    """The record list. A record number is a position in it, shards following each other in order.

    Attributes, all of shape (n,): offsets, int64, within the record's shard; lengths, int64; checksums, uint32.
    first: int64, shape (shards + 1,), the record number with which each shard begins, and n.
    """

    def __init__(
        self,
        offsets: NDArray[np.int64],
        lengths: NDArray[np.int64],
        checksums: NDArray[np.uint32],
        first: NDArray[np.int64],
    ) -> None:
        self.offsets, self.lengths, self.checksums, self.first = offsets, lengths, checksums, first
        # Indexing a memoryview gives a Python int in a third of the time that a numpy scalar takes.
        self._offsets, self._lengths, self._checksums = memoryview(offsets), memoryview(lengths), memoryview(checksums)
        self._first: list[int] = first.tolist()

    @classmethod
    def of_headers(cls, headers: Sequence[Header]) -> Records:
        """The records of an archive with these shard headers, in order."""
        return cls(
            _joined([h.offsets[:-1] for h in headers]),
            _joined([np.diff(h.offsets) for h in headers]),
            _joined([h.checksums for h in headers]),
            np.cumsum([0, *(h.n for h in headers)], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self._offsets)

    def check(self, record: int) -> int:
        """The record number itself. Raises: RecordIndexError if there is no such record."""
        if not 0 <= record < len(self._offsets):
            raise RecordIndexError(f"record {record} is outside the archive, which has records 0 to {len(self) - 1}")
        return record

    def extent(self, record: int) -> Extent:
        """Where the record lies. Raises: IndexError; use `check` first on numbers from outside."""
        return Extent(self.shard(record), self._offsets[record], self._lengths[record])

    def shard(self, record: int) -> int:
        """The number of the shard that holds the record."""
        return 0 if len(self._first) == 2 else bisect_right(self._first, record) - 1

    def length(self, record: int) -> int:
        """The record's size in bytes."""
        return self._lengths[record]

    def checksum(self, record: int) -> int:
        """The CRC32 that the header gives for the record."""
        return self._checksums[record]

    def merge(self, numbers: Iterable[int]) -> list[tuple[Extent, list[int]]]:
        """Group records so that each group is one read.

        Args: numbers, in any order, each once. Returns: the extents in archive order, holes included, and the records
        of each; these lie in one shard, with holes of at most `GAP_BYTES` between them and about `EXTENT_BYTES`
        together. Cost: O(n log n), no I/O.
        """
        ordered = sorted(numbers)
        offsets, lengths = self.offsets[ordered].tolist(), self.lengths[ordered].tolist()
        several = len(self._first) > 2
        merged: list[tuple[Extent, list[int]]] = []
        group: list[int] = []
        begin = end = last_shard = shard = 0
        for record, offset, length in zip(ordered, offsets, lengths, strict=True):
            shard = self.shard(record) if several else 0
            if 0 <= offset - end <= GAP_BYTES and offset - begin < EXTENT_BYTES and shard == last_shard and group:
                group.append(record)
            else:
                if group:
                    merged.append((Extent(last_shard, begin, end - begin), group))
                begin, last_shard, group = offset, shard, [record]
            end = offset + length
        if group:
            merged.append((Extent(last_shard, begin, end - begin), group))
        return merged


def sum_bytes(sizes: NDArray[np.int64]) -> int:
    """The sum of sizes that are not negative, however large: many names may have one large record."""
    return (int((sizes >> 32).sum()) << 32) + int((sizes & 0xFFFFFFFF).sum())


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """The parts one behind the other; the only part itself, which saves a large copy."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
