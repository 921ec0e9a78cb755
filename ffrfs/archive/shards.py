"""The files of an archive, open for positioned reads. The only module that reads archive bytes from disk.

Reads are `pread`s, never maps: a failing disk then gives an error, not a SIGBUS. A descriptor has no state that
matters to pread, so one `Shards` serves all threads of a process and its forked children; it pickles as its paths.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffrfs.errors import FormatError, TruncatedError
from ffrfs.format.header import PREFIX_BYTES, Header, decode_header, header_bytes, record_count

__all__ = ["Shards", "Stamp", "shard_paths"]

ArchivePath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one version of a shard from another: size, mtime and the CRC32 of its header (0: none kept)."""

    name: str
    size_bytes: int
    mtime_ns: int
    checksum: int


def shard_paths(archive: ArchivePath | Iterable[ArchivePath]) -> list[str]:
    """The shard files of an archive, in the order of their records.

    Args: archive, a file, a folder with shards (its *.ffr files in the order of their names), or a list of files.
    Raises: FileNotFoundError, FormatError if a folder has no shards.
    Source: HFAiLab/ffrecord fileio.py, FileReader, which also sorts a folder's files by name.
    """
    if not isinstance(archive, (str, os.PathLike)):
        paths = [os.fspath(path) for path in archive]
        if not paths:
            raise FormatError("(no file)", "an archive has at least one file")
        return paths
    path = os.fspath(archive)
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if name.endswith(".ffr"))
    if not names:
        raise FormatError(path, "this folder has no .ffr files, so it is no sharded archive")
    return [os.path.join(path, name) for name in names]


class Shards:
    """The open files of an archive.

    Args: archive, as for `shard_paths`. Attributes: paths; descriptors, in the same order; folder, the folder given,
    or None; is_view, whether they are of several archives, or of a part of one, so that no index of theirs is kept. The
    set is a snapshot: replacing a file on disk does not change what is read.
    Raises: OSError, FormatError if a path is no regular file.
    """

    is_view = False

    def __init__(self, archive: ArchivePath | Iterable[ArchivePath]) -> None:
        single = isinstance(archive, (str, os.PathLike))
        self.folder = os.fspath(archive) if single and os.path.isdir(archive) else None  # type: ignore[arg-type]
        self.paths = shard_paths(archive)
        self.descriptors: list[int] = []
        try:
            for path in self.paths:
                self.descriptors.append(_open(path))
            self.sizes = [os.fstat(fd).st_size for fd in self.descriptors]
        except BaseException:
            self.close()
            raise

    @classmethod
    def joined(cls, others: Iterable[Shards]) -> Shards:
        """The files of several archives, in order, for a view; the others are closed without closing the files."""
        joined = cls.__new__(cls)
        joined.is_view = True
        joined.folder, joined.paths, joined.descriptors, joined.sizes = None, [], [], []
        for other in others:
            joined.paths += other.paths
            joined.sizes += other.sizes
            joined.descriptors += other.descriptors
            other.descriptors = []
        return joined

    def __reduce__(self) -> tuple[Any, ...]:
        return Shards, (self.folder if self.folder is not None else self.paths,)

    @property
    def path(self) -> str:
        """How to call the archive in a message: the folder, or the first file."""
        return self.folder if self.folder is not None else self.paths[0]

    def stamp(self, shard: int) -> Stamp:
        """The shard's version. Raises: TruncatedError if it has no header at all."""
        prefix = os.pread(self.descriptors[shard], PREFIX_BYTES, 0)
        record_count(self.paths[shard], prefix, self.sizes[shard])
        status = os.fstat(self.descriptors[shard])
        name = os.path.basename(self.paths[shard])
        return Stamp(name, self.sizes[shard], status.st_mtime_ns, int.from_bytes(prefix[:4], "little"))

    def mtime_ns(self) -> int:
        """The newest mtime of the files, in nanoseconds."""
        return max(os.fstat(fd).st_mtime_ns for fd in self.descriptors)

    def header(self, shard: int, check: bool = True) -> Header:
        """Read and check a shard's header.

        Args: check, whether its checksum must be right. Raises: FormatError, TruncatedError.
        """
        path, size = self.paths[shard], self.sizes[shard]
        n = record_count(path, os.pread(self.descriptors[shard], PREFIX_BYTES, 0), size)
        return decode_header(path, bytes(self.read(shard, 0, header_bytes(n))), size, check)

    def read(self, shard: int, offset_bytes: int, length_bytes: int) -> bytearray:
        """Read bytes of a shard.

        Raises: TruncatedError if the file has become shorter; FormatError if memory cannot hold as much; OSError.
        """
        try:
            buffer = bytearray(length_bytes)
        except (MemoryError, OverflowError):
            raise FormatError(
                self.paths[shard], f"{length_bytes} bytes at byte {offset_bytes} are more than memory can hold"
            ) from None
        self.read_into(shard, offset_bytes, buffer)
        return buffer

    def read_into(self, shard: int, offset_bytes: int, buffer: bytearray | memoryview | NDArray[np.uint8]) -> None:
        """Fill a buffer from a shard. Raises as `read`."""
        fd = self.descriptors[shard]
        done = os.preadv(fd, (buffer,), offset_bytes)
        while done < len(buffer):
            count = os.preadv(fd, (memoryview(buffer)[done:],), offset_bytes + done)
            if count == 0:
                end = offset_bytes + done
                raise TruncatedError(
                    self.paths[shard], f"the file ends at byte {end}, it was longer before", offset=end
                )
            done += count

    def close(self) -> None:
        """Close the files. Reading afterwards raises ValueError."""
        descriptors, self.descriptors = self.descriptors, []
        for fd in descriptors:
            os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "descriptors"):
            self.close()


def _open(path: str) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # O_NONBLOCK: opening a FIFO must not hang
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise FormatError(path, "it is no regular file, so it is no archive")
