"""Objects of any scheme that fsspec knows. Needs fsspec, and what it needs for the scheme.

Its file systems do not survive a fork, so each process makes its own. They do not tell the version of what they read:
that an object was replaced is noticed by checksums only.
"""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING, Any

import fsspec

from ffrfs.errors import ConfigError
from ffrfs.sources.source import Source

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["FsspecObject"]


class FsspecObject(Source):
    """An object by its URL. Args: name, as messages show it. Raises: ConfigError for an unknown scheme; OSError."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self.name, self.place, self._pid = url, name, name, 0
        facts = self._file_system().info(self._path)
        if facts["type"] == "directory":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        self.size_bytes = int(facts["size"])
        self.identity = str(self._file_system().ukey(self._path))
        self.tag_ns = int.from_bytes(hashlib.sha256(self.identity.encode()).digest()[:8], "little") >> 1
        self.mtime_ns = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return FsspecObject, (self._url, self.name)

    def read_into(self, offset_bytes: int, buffer: WriteableBuffer) -> None:
        """As for every source."""
        view = memoryview(buffer).cast("B")
        if not len(view):
            return
        data = self._file_system().cat_file(self._path, start=offset_bytes, end=offset_bytes + len(view))
        if len(data) != len(view):
            raise OSError(errno.EIO, f"{len(data)} bytes came where {len(view)} were asked for", self.name)
        view[:] = data

    def close(self) -> None:
        """As for every source."""

    def _file_system(self) -> Any:
        if self._pid != os.getpid():
            try:
                self._fs, self._path = fsspec.core.url_to_fs(self._url, skip_instance_cache=True)
            except (ValueError, ImportError) as error:
                raise ConfigError(f"{self.name}: this kind of URL cannot be read: {error}") from None
            self._pid = os.getpid()
        return self._fs
