"""Zip archives."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator

from ffrfs.errors import PackError
from ffrfs.pack.sources.member import DIRECTORY, PART_BYTES, Member, Symlinks, failures_named, symlink_error

__all__ = ["ZipSource"]

_FAILURES = (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error)
_ENCRYPTED, _UTF8 = 1, 1 << 11  # bits of a member's flags


class ZipSource:
    """A zip. Args: path; symlinks, `skip` leaves them out, else they are an error."""

    ordered = False

    def __init__(self, path: str, symlinks: Symlinks) -> None:
        self.path, self._symlinks = path, symlinks
        with failures_named(path, *_FAILURES):
            self._zip = zipfile.ZipFile(path)

    def members(self) -> Iterator[Member]:
        for info in self._zip.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                if self._symlinks != "skip":
                    raise symlink_error(self.path, info.filename)
            elif info.is_dir():
                yield Member(_bytes(info), DIRECTORY)
            elif info.flag_bits & _ENCRYPTED:
                raise PackError(self.path, f"{info.filename} is encrypted; unpack the zip and pack the folder")
            else:
                yield Member(_bytes(info), info.file_size, info)

    def read(self, member: Member) -> Iterator[bytes]:
        with failures_named(self.path, *_FAILURES), self._zip.open(member.place) as file:
            while part := file.read(PART_BYTES):
                yield part

    def close(self) -> None:
        self._zip.close()


def _bytes(info: zipfile.ZipInfo) -> bytes:
    """The name as it stands in the zip: zipfile decodes what is not marked as UTF-8 by code page 437."""
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
