"""Directories read by libc's calls, which Python does not give."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_NAME_AT = 19  # struct dirent64: ino 8, off 8, reclen 2, type 1, name

_libc = ctypes.CDLL(None, use_errno=True)
_libc.opendir.restype = _libc.readdir64.restype = ctypes.c_void_p
_libc.telldir.restype = ctypes.c_long


class Directory:
    """An open directory stream. Raises: OSError."""

    def __init__(self, path: Path | str | bytes) -> None:
        self._stream = ctypes.c_void_p(_libc.opendir(os.fsencode(path)))
        if not self._stream.value:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)

    def names(self, limit: int = 1 << 30) -> list[bytes]:
        """The next names, at most so many."""
        names: list[bytes] = []
        while len(names) < limit:
            entry = _libc.readdir64(self._stream)
            if not entry:
                break
            names.append(ctypes.string_at(entry + _NAME_AT))
        return names

    def tell(self) -> int:
        """The place for `seek` to come back to."""
        return int(_libc.telldir(self._stream))

    def seek(self, place: int) -> None:
        """Go on from a place that `tell` gave."""
        _libc.seekdir(self._stream, ctypes.c_long(place))

    def close(self) -> None:
        """Close the stream."""
        _libc.closedir(self._stream)
