"""One open packed folder for each archive and process, shared by all who read it there, with files read ahead.

Clients are made in great numbers (mmengine makes one for every `fileio.load`), so what they share is kept here: the
descriptors, the mapped index and the files that were read ahead. May be called from any thread; survives a fork.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ffrfs.archive.folder import PackedFolder
from ffrfs.archive.named import NamedRecords
from ffrfs.archive.shards import ArchivePath
from ffrfs.errors import ArchiveError
from ffrfs.sources.opening import absolute, is_url

__all__ = ["SharedFolder", "shared_folder", "shared_records"]

_MAX_OPEN = 64  # archives kept open in a process after their last use


class SharedFolder:
    """An open packed folder, or records with names, and the files read ahead from it.

    Attributes: folder, which it is.
    """

    def __init__(self, folder: PackedFolder | NamedRecords) -> None:
        self.folder = folder
        self._ahead: dict[str, NDArray[np.uint8]] = {}

    def read_one(self, path: str) -> NDArray[np.uint8]:
        """The contents of a file, uint8, shape (size,), from those read ahead if it is there.

        Raises: as `PackedFolder.read_one`.
        """
        data = self._ahead.get(path)
        return self.folder.read_one(path) if data is None else data

    def prefetch(self, paths: Iterable[str]) -> None:
        """Have the kernel read files into the page cache, where all processes find them; returns at once."""
        self.folder.prefetch(paths)

    def is_ahead(self, path: str) -> bool:
        """Whether a file was read ahead."""
        return path in self._ahead

    def read_ahead(self, paths: Iterable[str]) -> None:
        """Read files as one sorted, merged batch and keep them until the next call, for `read_one`.

        Paths that are no files are passed over, and nothing is kept if the batch cannot be read: the error then comes
        from the `read_one` that it belongs to.
        """
        self._ahead = {}
        wanted = [path for path in dict.fromkeys(paths) if self.folder.is_file(path)]
        try:
            self._ahead = dict(zip(wanted, self.folder.read(wanted), strict=True))
        except (ArchiveError, OSError):
            return


def shared_folder(archive: ArchivePath | Sequence[ArchivePath], check_data: bool = True) -> SharedFolder:
    """The open folder of an archive, the same one for all callers in a process.

    An archive that was replaced on disk is another archive: who asks anew gets the new one. Of one that has a URL the
    first that was opened stays.
    Args, raises: as `PackedFolder`.
    """
    if isinstance(archive, (str, os.PathLike)):
        path = absolute(archive)
        return _open(path, check_data, (_version(path),))
    paths = tuple(map(absolute, archive))
    return _open(paths, check_data, tuple(map(_version, paths)))


def _version(path: str) -> tuple[int, ...]:
    if is_url(path):
        return ()  # who asks would wait for a server each time
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def shared_records(folder: ArchivePath, names_file: ArchivePath, check_data: bool = True) -> SharedFolder:
    """As `shared_folder`, for the records of shards with names in a file. Args, raises: as `NamedRecords`."""
    path = os.path.abspath(folder)
    file = os.path.join(path, names_file)
    return _open_records(path, file, check_data, (_version(path), _version(file)))


@lru_cache(maxsize=_MAX_OPEN)
def _open_records(path: str, file: str, check_data: bool, version: tuple[tuple[int, ...], ...]) -> SharedFolder:
    return SharedFolder(NamedRecords(path, file, check_data))


@lru_cache(maxsize=_MAX_OPEN)
def _open(archive: str | tuple[str, ...], check_data: bool, version: tuple[tuple[int, ...], ...]) -> SharedFolder:
    return SharedFolder(PackedFolder(archive, check_data))
