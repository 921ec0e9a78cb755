"""The tree of an archive whose names come from elsewhere than a folder, so that any of them may be wrong."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from typing import Any

from ffrfs.errors import PackError
from ffrfs.format.header import TREE_MAGIC
from ffrfs.format.tree import MAX_DEPTH, MAX_NAME_BYTES

__all__ = ["NameTree"]

_Directory = OrderedDict[str, Any]
_SHALLOW = 500  # directories below each other, up to which pickle needs no higher recursion limit


class NameTree:
    """Paths with record numbers, in the order in which they are added.

    A path is bytes; leading, doubled and trailing slashes and `.` are dropped. Whatever else no file system could show
    is an error that names it and `source`, the archive that it comes from.
    """

    def __init__(self) -> None:
        self._directories: dict[tuple[bytes, ...], _Directory] = {(): OrderedDict()}
        self._depth = 0

    def add_file(self, path: bytes, record: int, source: str) -> None:
        """Add a file. Raises: PackError."""
        parts = _parts(path, source)
        if not parts:
            raise PackError(source, f"{path!r} is not a valid file name")
        directory, name = self._enter(parts[:-1], path, source), _text(parts[-1])
        if name in directory:
            raise PackError(source, f"{_shown(path)} is there twice, and an archive has each name once")
        directory[name] = record

    def add_directory(self, path: bytes, source: str) -> None:
        """Add a directory, which may be there already. Raises: PackError."""
        self._enter(_parts(path, source), path, source)

    def record(self) -> bytes:
        """The archive's last record, from which `PackedFolder` and the reference read the names."""
        limit = sys.getrecursionlimit()
        if self._depth > _SHALLOW:
            sys.setrecursionlimit(limit + 4 * self._depth)
        try:
            return TREE_MAGIC + pickle.dumps(self._directories[()], protocol=4)
        finally:
            sys.setrecursionlimit(limit)

    def _enter(self, parts: tuple[bytes, ...], path: bytes, source: str) -> _Directory:
        found = self._directories.get(parts)
        if found is not None:
            return found
        if len(parts) > MAX_DEPTH:
            raise PackError(source, f"{_shown(path)} is {len(parts)} directories deep, more than {MAX_DEPTH}")
        known = next(n for n in range(len(parts) - 1, -1, -1) if parts[:n] in self._directories)
        directory = self._directories[parts[:known]]
        for end in range(known + 1, len(parts) + 1):
            name = _text(parts[end - 1])
            if name in directory:
                raise PackError(source, f"{_shown(path)}: {name!r} is a file and a directory at once")
            directory[name] = directory = OrderedDict()
            self._directories[parts[:end]] = directory
        self._depth = max(self._depth, len(parts))
        return directory


def _parts(path: bytes, source: str) -> tuple[bytes, ...]:
    parts = tuple(part for part in path.split(b"/") if part not in (b"", b"."))
    for part in parts:
        if part == b".." or b"\0" in part or len(part) > MAX_NAME_BYTES:
            raise PackError(source, f"{path!r} is not a valid file name")
    return parts


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
