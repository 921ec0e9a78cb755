"""The bytes of an archive's header, to and from numpy. No I/O; numpy only.

The format is HFAiLab/ffrecord's, little-endian, all sizes in bytes (docs/format.md has the long form):

    at        size  field
    0         4     CRC32 of all header bytes after this field (0 in files of early writers: accepted)
    4         8     n, the number of records, int64
    12        4·n   CRC32 of each record, uint32
    12+4·n    8·n   absolute offset of each record, int64; record i ends where i+1 begins, the last at end of file
    12+12·n   …     the records

A packed folder is such a file whose last record is `TREE_MAGIC` and a pickled tree (see `tree`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ffrfs.errors import FormatError, TruncatedError

__all__ = ["PREFIX_BYTES", "TREE_MAGIC", "Header", "crc32", "decode_header", "encode_header", "header_bytes"]

TREE_MAGIC = b"piouhjgbr"
PREFIX_BYTES = 12
_PREFIX = struct.Struct("<Iq")

crc32 = isal_zlib.crc32


@dataclass(frozen=True, slots=True)
class Header:
    """What an archive file says about its records.

    checksums: uint32, shape (n,). offsets: int64, shape (n + 1,), the last being the file's size, so that record i
    is the bytes [offsets[i], offsets[i + 1]). checksum: the header's own CRC32, 0 if the writer left none.
    """

    checksum: int
    checksums: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    @property
    def n(self) -> int:
        """The number of records."""
        return len(self.checksums)


def header_bytes(n: int) -> int:
    """The size of the header of an archive of `n` records."""
    return PREFIX_BYTES + 12 * n


def record_count(path: str, prefix: bytes, file_bytes: int) -> int:
    """Read n from the first 12 bytes and check it against the file's size, before anything is allocated by it.

    Raises: TruncatedError, FormatError.
    """
    if len(prefix) < PREFIX_BYTES:
        what = "is empty" if not prefix else f"ends after {len(prefix)} bytes"
        raise TruncatedError(
            path, f"not an .ffr archive: the file {what}, a header has at least 12", offset=len(prefix)
        )
    n: int = _PREFIX.unpack(prefix[:PREFIX_BYTES])[1]
    if n < 0:
        raise FormatError(path, f"not an .ffr archive: its header claims {n} records", offset=4)
    if n == 0 and file_bytes > PREFIX_BYTES:
        raise FormatError(
            path,
            f"not an .ffr archive: its header claims no records, and {file_bytes - PREFIX_BYTES} bytes follow it",
            offset=PREFIX_BYTES,
        )
    if header_bytes(n) > file_bytes:
        raise TruncatedError(
            path,
            f"not an .ffr archive, or cut short: its header claims {n} records and so {header_bytes(n)} bytes of"
            f" header, the file has {file_bytes} bytes",
            offset=file_bytes,
        )
    return n


def decode_header(path: str, header: bytes, file_bytes: int, check: bool = True) -> Header:
    """Decode and check a whole header.

    Args: path, for errors; header, exactly `header_bytes(n)` bytes, n as `record_count` gave it; file_bytes, the size
    of the file; check, whether its checksum must be right. The arrays of the result are views of `header`.
    Raises: FormatError if the checksum is wrong or an offset is out of order or outside the file.
    Source: HFAiLab/ffrecord reader.cpp, which checks the checksum but not the offsets.
    """
    stored, n = _PREFIX.unpack_from(header)
    actual = crc32(memoryview(header)[4:])
    if check and stored not in (0, actual):
        raise FormatError(path, f"the header's checksum is {actual:#010x}, it should be {stored:#010x}", offset=0)
    checksums = np.frombuffer(header, "<u4", n, PREFIX_BYTES)
    offsets = np.empty(n + 1, np.int64)
    offsets[:n] = np.frombuffer(header, "<i8", n, PREFIX_BYTES + 4 * n)
    offsets[n] = file_bytes
    if n and offsets[0] < len(header):
        raise FormatError(
            path,
            f"record 0 begins at byte {offsets[0]}, inside the header of {len(header)} bytes",
            offset=PREFIX_BYTES + 4 * n,
        )
    wrong = np.flatnonzero(offsets[1:] < offsets[:-1])
    if len(wrong):
        i = int(wrong[0])
        where = "the end of the file" if i == n - 1 else f"the beginning of record {i + 1}"
        error = TruncatedError if i == n - 1 else FormatError
        raise error(
            path,
            f"record {i} begins at byte {offsets[i]}, after {where} at {offsets[i + 1]}",
            offset=PREFIX_BYTES + 4 * n + 8 * i,
        )
    return Header(stored, checksums, offsets)


def encode_header(checksums: NDArray[np.uint32], lengths: NDArray[np.int64]) -> bytes:
    """The header of an archive whose records have these checksums and lengths, both of shape (n,).

    Source: HFAiLab/ffrecord writer.cpp.
    """
    n = len(checksums)
    offsets = np.full(n, header_bytes(n), "<i8")
    offsets[1:] += np.cumsum(lengths[:-1], dtype=np.int64)
    body = struct.pack("<q", n) + checksums.astype("<u4").tobytes() + offsets.tobytes()
    return struct.pack("<I", crc32(body)) + body
