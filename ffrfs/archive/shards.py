"""The files of an archive, on a disk or elsewhere, open for positioned reads.

Reads are `pread`s or requests, never maps: a failing disk then gives an error, not a SIGBUS. One `Shards` serves all
threads of a process and its forked children; it pickles as its names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffrfs.cache.options import CacheOptions, cache_from_environment
from ffrfs.cache.source import cached
from ffrfs.errors import ArchiveError, FormatError
from ffrfs.format.header import PREFIX_BYTES, Header, decode_header, header_bytes, record_count
from ffrfs.sources.opening import absolute, expand, is_url, open_source
from ffrfs.sources.source import Access, Source

__all__ = ["Shards", "Stamp", "shard_paths"]

ArchivePath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one version of a shard from another: size, mtime (or a number made of the ETag) and the CRC32 of its
    header (0: none kept)."""

    name: str
    size_bytes: int
    mtime_ns: int
    checksum: int


def shard_paths(archive: ArchivePath | Iterable[ArchivePath]) -> list[str]:
    """The shard files of an archive, in the order of their records.

    Args: archive, a file, a folder with shards (its *.ffr files in the order of their names), or a list of files; a
    file is a path or a URL, and a URL may have a range of numbers in it, such as {00000..00063}.
    Raises: FileNotFoundError, FormatError if a folder has no shards.
    Source: HFAiLab/ffrecord fileio.py, FileReader, which also sorts a folder's files by name.
    """
    if not isinstance(archive, (str, os.PathLike)):
        paths = [os.fspath(path) for path in archive]
        if not paths:
            raise FormatError("(no file)", "an archive has at least one file")
        return paths
    path = os.fspath(archive)
    if is_url(path):
        return expand(path)
    if path.lower().startswith("file://"):
        path = absolute(path)
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if name.endswith(".ffr"))
    if not names:
        raise FormatError(path, "this folder has no .ffr files, so it is no sharded archive")
    return [os.path.join(path, name) for name in names]


class Shards:
    """The open files of an archive.

    Args: archive, as for `shard_paths`; access, how to reach object storage; cache, on this node, by default the
    environment's. Attributes: names, to open them by, which may hold secrets; paths, how messages name them; sources,
    in the order of their records; descriptors, those of local files, -1 for others; sizes; folder, the folder given, or
    None; is_view, whether they are of several archives, or of a part of one, so that no index of theirs is kept. The
    set is a snapshot: replacing a file on disk does not change what is read.
    Raises: OSError, FormatError if a path is no regular file, ConfigError for a URL that cannot be read.
    """

    is_view = False

    def __init__(
        self,
        archive: ArchivePath | Iterable[ArchivePath],
        access: Access | None = None,
        cache: CacheOptions | None = None,
    ) -> None:
        single = isinstance(archive, (str, os.PathLike))
        self.folder = os.fspath(archive) if single and os.path.isdir(archive) else None  # type: ignore[arg-type]
        self.names, self._access, self._cache = shard_paths(archive), access, cache
        self.sources: list[Source] = []
        try:
            for name in self.names:
                self.sources.append(cached(open_source(name, access), cache or cache_from_environment()))
        except BaseException:
            self.close()
            raise
        self.paths = [source.name for source in self.sources]
        self.descriptors = [source.descriptor for source in self.sources]
        self.sizes = [source.size_bytes for source in self.sources]

    @classmethod
    def joined(cls, others: Iterable[Shards]) -> Shards:
        """The files of several archives, in order, for a view; the others are closed without closing the files."""
        joined = cls.__new__(cls)
        joined.is_view = True
        joined.folder, joined.names, joined.paths, joined.descriptors, joined.sizes = None, [], [], [], []
        joined.sources, joined._access, joined._cache = [], None, None
        for other in others:
            joined.names += other.names
            joined.paths += other.paths
            joined.sizes += other.sizes
            joined.descriptors += other.descriptors
            joined.sources += other.sources
            joined._access, joined._cache = other._access, other._cache
            other.descriptors, other.sources = [], []
        return joined

    def __reduce__(self) -> tuple[Any, ...]:
        return Shards, (self.folder if self.folder is not None else self.names, self._access, self._cache)

    @property
    def path(self) -> str:
        """How to call the archive in a message: the folder, or the first file."""
        return self.folder if self.folder is not None else self.paths[0]

    def is_local(self) -> bool:
        """Whether all of it lies where the operating system can open it."""
        return not any(map(is_url, self.paths))

    def stamp(self, shard: int) -> Stamp:
        """The shard's version. Raises: TruncatedError if it has no header at all."""
        source = self.sources[shard]
        prefix = self._prefix(shard)
        record_count(self.paths[shard], prefix, self.sizes[shard])
        name = os.path.basename(self.paths[shard])
        return Stamp(name, self.sizes[shard], source.tag_ns, int.from_bytes(prefix[:4], "little"))

    def mtime_ns(self) -> int:
        """The newest mtime of the files, in nanoseconds."""
        return max(source.mtime_ns for source in self.sources)

    def header(self, shard: int, check: bool = True) -> Header:
        """Read and check a shard's header.

        Args: check, whether its checksum must be right. Raises: FormatError, TruncatedError.
        """
        try:
            return self._header(shard, check)
        except ArchiveError:
            if not self.distrust(shard, 0, self.sizes[shard]):
                raise
            return self._header(shard, check)

    def read(self, shard: int, offset_bytes: int, length_bytes: int) -> bytearray:
        """Read bytes of a shard.

        Raises: TruncatedError if the file has become shorter, ChangedError if it was replaced; FormatError if memory
        cannot hold as much; OSError.
        """
        try:
            buffer = bytearray(length_bytes)
        except (MemoryError, OverflowError):
            raise FormatError(
                self.paths[shard], f"{length_bytes} bytes at byte {offset_bytes} are more than memory can hold"
            ) from None
        self.read_into(shard, offset_bytes, buffer)
        return buffer

    def peek(self, shard: int, offset_bytes: int, length_bytes: int, likely_bytes: int) -> bytes:
        """Read bytes where `likely_bytes` will probably be read next. Raises as `read`."""
        buffer = bytearray(length_bytes)
        self.sources[shard].peek_into(offset_bytes, buffer, likely_bytes)
        return bytes(buffer)

    def read_into(self, shard: int, offset_bytes: int, buffer: bytearray | memoryview | NDArray[np.uint8]) -> None:
        """Fill a buffer from a shard. Raises as `read`."""
        self.sources[shard].read_into(offset_bytes, buffer)

    def read_near(self, shard: int, offset_bytes: int, buffer: bytearray | memoryview | NDArray[np.uint8]) -> int:
        """Read what is in memory, without waiting; returns how many bytes.

        Raises: BlockingIOError if it is not there; OSError if that cannot be told.
        """
        return self.sources[shard].read_near(offset_bytes, (buffer,))

    def distrust(self, shard: int, offset_bytes: int, length_bytes: int) -> bool:
        """Drop what a cache holds of these bytes, found wrong; returns whether reading them again may help."""
        return self.sources[shard].distrust(offset_bytes, length_bytes)

    def close(self) -> None:
        """Close the files. Reading afterwards raises OSError."""
        for source in self.sources:
            source.close()
        self.descriptors = []

    def _prefix(self, shard: int) -> bytes:
        return bytes(self.read(shard, 0, min(PREFIX_BYTES, self.sizes[shard])))

    def _header(self, shard: int, check: bool) -> Header:
        path, size = self.paths[shard], self.sizes[shard]
        n = record_count(path, self._prefix(shard), size)
        return decode_header(path, bytes(self.read(shard, 0, header_bytes(n))), size, check)
