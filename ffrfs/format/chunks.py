"""The chunks of large records: each MiB of a record over 1 MiB has a CRC32 of its own. Pure; numpy only.

A chunk can be checked without the rest of its record. Nothing needs to be read to believe the checksums of chunks:
combined, they are the CRC32 of the record, which the archive's header has. CRC32 is linear: to append n zero bytes is a
multiplication of the 32 bits by a matrix that depends on n alone, so crc(a + b) = matrix(len(b)) · crc(a) XOR crc(b).
Source of the mathematics: zlib's crc32_combine.
"""

from __future__ import annotations

import functools
import struct
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ffrfs.format.header import crc32

__all__ = ["CHUNK_BYTES", "Chunks", "chunk_checksums", "combine_chunks", "packed_chunks"]

CHUNK_BYTES = 1 << 20
_combine = isal_zlib.crc32_combine


def chunk_checksums(data: Any) -> list[int]:
    """The CRC32 of each chunk of some bytes, the first of which begins a chunk."""
    view = memoryview(data).cast("B")
    if len(view) <= CHUNK_BYTES:
        return [crc32(view)]
    return [crc32(view[at : at + CHUNK_BYTES]) for at in range(0, len(view), CHUNK_BYTES)]


def combine_chunks(checksums: Sequence[int], length_bytes: int) -> int:
    """The CRC32 of the bytes whose chunks have these CRC32s. Args: length_bytes, of all chunks together."""
    combined = 0
    for number, checksum in enumerate(checksums):
        combined = _combine(combined, checksum, min(CHUNK_BYTES, length_bytes - number * CHUNK_BYTES))
    return combined


def packed_chunks(checksums: Sequence[int]) -> bytes:
    """The checksums of a record's chunks as an index has them, uint32, little-endian; none for a record of one."""
    return struct.pack(f"<{len(checksums)}I", *checksums) if len(checksums) > 1 else b""


class Chunks:
    """Which records of an archive have chunks, and where their checksums stand in the list of all.

    Args: lengths, int64, shape (records,). Attributes: large, int64, the numbers of the records over 1 MiB, ascending;
    starts, int64, shape (len(large) + 1,), the position of each one's first chunk, and the number of chunks.
    """

    def __init__(self, lengths: NDArray[np.int64]) -> None:
        self.large = np.flatnonzero(lengths > CHUNK_BYTES)
        self._lengths = lengths[self.large]
        self.starts = np.zeros(len(self.large) + 1, np.int64)
        np.cumsum(-(-self._lengths // CHUNK_BYTES), out=self.starts[1:])
        self._large, self._starts = memoryview(self.large), memoryview(self.starts)

    def __len__(self) -> int:
        """The number of chunks."""
        return self._starts[-1]

    def find(self, record: int) -> int:
        """The position of a record in `large`, or -1 if it has no chunks."""
        at = bisect_left(self._large, record)
        return at if at < len(self._large) and self._large[at] == record else -1

    def span(self, position: int) -> tuple[int, int]:
        """The positions of the first chunk of the record `large[position]`, and of the one behind its last."""
        return self._starts[position], self._starts[position + 1]

    def combined(self, checksums: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The CRC32 of each large record, shape (len(large),).

        Args: checksums, of all chunks, shape (chunks,).
        Cost: O(chunks · log(chunks of the largest record)), some ns each; no I/O.
        """
        if not len(self.large):
            return np.zeros(0, np.uint32)
        following = self.starts[1:] - 2  # the last whole chunk but one: the last chunk of a record may be a part
        last = self.starts[1:] - 1
        whole = np.array(checksums)
        whole[last] = 0
        distances = np.repeat(following, np.diff(self.starts)) - np.arange(len(whole))
        distances[last] = 0
        whole = _shifted(whole, distances, CHUNK_BYTES)
        heads = np.bitwise_xor.reduceat(whole, self.starts[:-1])
        tails = self._lengths - (np.diff(self.starts) - 1) * CHUNK_BYTES
        return _shifted(heads, tails, 1) ^ checksums[last]


def _shifted(checksums: NDArray[np.uint32], counts: NDArray[np.int64], unit_bytes: int) -> NDArray[np.uint32]:
    """What the CRC32s become when `counts` times `unit_bytes` zero bytes are appended, each its own count."""
    shifted = np.array(checksums)
    for bit in range(int(counts.max(initial=0)).bit_length()):
        rows = np.flatnonzero(counts >> bit & 1)
        table = _matrix(unit_bytes << bit)
        chosen = shifted[rows]
        shifted[rows] = (
            table[0][chosen & 0xFF]
            ^ table[1][chosen >> 8 & 0xFF]
            ^ table[2][chosen >> 16 & 0xFF]
            ^ table[3][chosen >> 24]
        )
    return shifted


@functools.lru_cache(maxsize=64)
def _matrix(zero_bytes: int) -> NDArray[np.uint32]:
    """The matrix that appends zero bytes, as four tables by the four bytes of a CRC32, shape (4, 256)."""
    columns = np.array([_combine(1 << bit, 0, zero_bytes) for bit in range(32)], np.uint32)
    bits = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.bool_)
    return np.stack([np.bitwise_xor.reduce(np.where(bits, columns[8 * b : 8 * b + 8], 0), axis=1) for b in range(4)])
