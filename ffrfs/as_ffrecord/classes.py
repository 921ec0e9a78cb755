"""The names of HFAiLab/ffrecord: this package's classes, whose errors are the reference's too."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable
from typing import Any

import ffrfs
from ffrfs.archive.shards import ArchivePath
from ffrfs.as_ffrecord.exceptions import as_reference

__all__ = ["FileReader", "FileWriter", "PackedFolder", "checkFsAlign", "pack_folder", "version"]

# Scripts compare it with versions of the reference; this is the one whose interface is followed.
version = f"1.4.0+ffrfs.{ffrfs.__version__}"
_CHECK_FS_ALIGN = 0x80046664  # _IOR('f', 100, int), an ioctl of High-Flyer's file system


class FileReader(ffrfs.FileReader):
    """`ffrfs.FileReader`."""

    @as_reference
    def __init__(self, fname: ArchivePath | Iterable[ArchivePath], check_data: bool = True) -> None:
        super().__init__(fname, check_data)

    read = as_reference(ffrfs.FileReader.read)
    read_one = as_reference(ffrfs.FileReader.read_one)
    validate = as_reference(ffrfs.FileReader.validate)
    verify = as_reference(ffrfs.FileReader.verify)

    def __reduce__(self) -> tuple[Any, ...]:
        return FileReader, (self.fnames, self.check_data)


class FileWriter(ffrfs.FileWriter):
    """`ffrfs.FileWriter`."""

    @as_reference
    def __init__(self, fname: str | os.PathLike[str], n: int) -> None:
        super().__init__(fname, n)

    write_one = as_reference(ffrfs.FileWriter.write_one)
    write = as_reference(ffrfs.FileWriter.write)
    close = as_reference(ffrfs.FileWriter.close)


class PackedFolder(ffrfs.PackedFolder):
    """`ffrfs.PackedFolder`."""

    @as_reference
    def __init__(self, ffr_file: ArchivePath | Iterable[ArchivePath], check_data: bool = True) -> None:
        super().__init__(ffr_file, check_data)

    list = as_reference(ffrfs.PackedFolder.list)
    size = as_reference(ffrfs.PackedFolder.size)
    read = as_reference(ffrfs.PackedFolder.read)
    read_one = as_reference(ffrfs.PackedFolder.read_one)

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedFolder, self._arguments


pack_folder = as_reference(ffrfs.pack_folder)


def checkFsAlign(fd: int) -> bool:
    """Whether an open file lies on a file system that wants aligned reads with O_DIRECT, as High-Flyer's own does."""
    answer = bytearray(4)
    try:
        fcntl.ioctl(fd, _CHECK_FS_ALIGN, answer)
    except OSError:
        return False
    return bool(struct.unpack("i", answer)[0] == 1)
