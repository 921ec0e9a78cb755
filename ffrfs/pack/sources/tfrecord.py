"""TFRecord files: records without names, each packed as it is.

    at    size  field
    0     8     n, the length, uint64, little-endian
    8     4     masked CRC32C of the length
    12    n     data
    12+n  4     masked CRC32C of the data

Source: TensorFlow, core/lib/io/record_writer.h.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from ffrfs.errors import PackError
from ffrfs.pack.sources.member import Member, file_parts, missing_package

__all__ = ["TfRecordSource"]

_PREFIX = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")


class TfRecordSource:
    """A TFRecord file that is not compressed. Args: path."""

    ordered = False

    def __init__(self, path: str) -> None:
        try:
            import google_crc32c
        except ImportError as error:
            raise missing_package(path, error) from None
        self.path, self._extend = path, google_crc32c.extend
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def begins_well(self) -> bool:
        """Whether the file begins as a TFRecord file does."""
        prefix = os.pread(self._fd, _PREFIX.size, 0)
        return len(prefix) == _PREFIX.size and self._length_is_right(prefix)

    def members(self) -> Iterator[Member]:
        at, end = 0, os.fstat(self._fd).st_size
        while at < end:
            prefix = os.pread(self._fd, _PREFIX.size, at)
            if len(prefix) < _PREFIX.size or not self._length_is_right(prefix):
                raise PackError(self.path, f"it is damaged at byte {at}: no record begins there")
            length = int(_PREFIX.unpack(prefix)[0])
            yield Member(None, length, at + _PREFIX.size)
            at += _PREFIX.size + length + _CHECKSUM.size

    def read(self, member: Member) -> Iterator[bytes]:
        checksum = 0
        for part in file_parts(self._fd, self.path, member.place, member.size_bytes):
            checksum = self._extend(checksum, part)
            yield part
        expected = b"".join(file_parts(self._fd, self.path, member.place + member.size_bytes, _CHECKSUM.size))
        if _masked(checksum) != _CHECKSUM.unpack(expected)[0]:
            raise PackError(self.path, f"it is damaged: the record at byte {member.place} has a wrong checksum")

    def close(self) -> None:
        os.close(self._fd)

    def _length_is_right(self, prefix: bytes) -> bool:
        return _masked(self._extend(0, prefix[:8])) == int(_PREFIX.unpack(prefix)[1])


def _masked(checksum: int) -> int:
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF
