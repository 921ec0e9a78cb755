"""The files below a root, which is an archive, a folder in one, or a folder of the disk or of a mount."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from ffrfs.archive.folder import PackedFolder
from ffrfs.archive.shards import ArchivePath
from ffrfs.format.index import Index
from ffrfs.format.names import decode_name
from ffrfs.hints import prefetch

__all__ = ["Files", "files_below"]


class Files(Protocol):
    """Files by their paths relative to a root, which are str with slashes."""

    def folders(self) -> list[str]:
        """The names of the folders directly below the root."""

    def walk(self, folder: str) -> Iterator[str]:
        """All files below a folder, as paths relative to the root, in no particular order."""

    def read(self, paths: Sequence[str]) -> list[Any]:
        """The contents of files, each something bytes-like, in the order asked for. Raises: OSError, ArchiveError."""

    def prefetch(self, paths: Sequence[str]) -> None:
        """Say that these files will be read soon."""


def files_below(root: ArchivePath | Sequence[ArchivePath]) -> Files:
    """The files below a root.

    Args: root, an .ffr file, a URL of one, a folder of shards or a list of them; a path that goes on into an archive,
    as `data/imagenet.ffr/train` does; or any other folder.
    Raises: FileNotFoundError, NotADirectoryError; OSError, ArchiveError if the archive cannot be opened.
    """
    if not isinstance(root, (str, os.PathLike)):
        return _PackedFiles(PackedFolder(root), "")
    outside, inside = os.fspath(root), ""
    if "://" in outside:
        archive, goes_on, inside = outside.partition(".ffr/")
        return _PackedFiles(PackedFolder(archive + ".ffr" if goes_on else archive), inside)
    while not os.path.exists(outside):
        outside, _, name = outside.rstrip("/").rpartition("/")
        inside = os.path.join(name, inside)
        if not outside:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(root))
    if os.path.isfile(outside) or any(name.endswith(".ffr") for name in os.listdir(outside)):
        return _PackedFiles(PackedFolder(outside), inside)
    if inside:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(root))
    return _DiskFiles(outside)


class _PackedFiles:
    """Files of an archive."""

    def __init__(self, archive: PackedFolder, root: str) -> None:
        self._archive, self._root = archive, root
        archive.list(root)  # raises if it is no folder

    def folders(self) -> list[str]:
        return [str(name) for name in self._archive.list(self._root, list_file=False)]

    def walk(self, folder: str) -> Iterator[str]:
        yield from _below(self._archive.index, self._archive.inode(self._path(folder)), folder)

    def read(self, paths: Sequence[str]) -> list[Any]:
        return self._archive.read(list(map(self._path, paths)))

    def prefetch(self, paths: Sequence[str]) -> None:
        self._archive.prefetch(map(self._path, paths))

    def _path(self, path: str) -> str:
        return os.path.join(self._root, path)


def _below(index: Index, inode: int, folder: str) -> Iterator[str]:
    """The paths of the files below a directory, beginning with its own."""
    waiting = [(inode, folder)]
    while waiting:
        inode, folder = waiting.pop()
        for child in index.children(inode):
            path = os.path.join(folder, decode_name(index.name(child)))
            if index.is_directory(child):
                waiting.append((child, path))
            else:
                yield path


class _DiskFiles:
    """Files of the operating system, a mount's among them."""

    def __init__(self, root: str) -> None:
        self._root = root
        os.listdir(root)  # raises if it is no folder

    def folders(self) -> list[str]:
        with os.scandir(self._root) as entries:
            return [entry.name for entry in entries if entry.is_dir()]

    def walk(self, folder: str) -> Iterator[str]:
        for above, _, names in os.walk(os.path.join(self._root, folder), followlinks=True):
            relative = os.path.relpath(above, self._root)
            for name in names:
                yield name if relative == "." else os.path.join(relative, name)

    def read(self, paths: Sequence[str]) -> list[Any]:
        return list(map(self._read_one, paths))

    def prefetch(self, paths: Iterable[str]) -> None:
        prefetch(os.path.join(self._root, path) for path in paths)

    def _read_one(self, path: str) -> bytes:
        with open(os.path.join(self._root, path), "rb", buffering=0) as file:
            return file.read()
