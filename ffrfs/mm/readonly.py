"""The writing half of the frameworks' backend interface, all of which an archive refuses."""

from __future__ import annotations

import os
from typing import NoReturn

from ffrfs.errors import ReadOnlyError

__all__ = ["FilePath", "ReadOnlyBackend"]

FilePath = str | os.PathLike[str]


class ReadOnlyBackend:
    """Every method raises ReadOnlyError, which is an OSError with EROFS."""

    def put(self, obj: bytes, filepath: FilePath) -> NoReturn:
        """Refuse to write a file."""
        _refuse("write", filepath)

    def put_text(self, obj: str, filepath: FilePath, encoding: str = "utf-8") -> NoReturn:
        """Refuse to write a text file."""
        _refuse("write", filepath)

    def remove(self, filepath: FilePath) -> NoReturn:
        """Refuse to remove a file."""
        _refuse("remove", filepath)

    def rmtree(self, dir_path: FilePath) -> NoReturn:
        """Refuse to remove a folder."""
        _refuse("remove", dir_path)

    def copyfile(self, src: FilePath, dst: FilePath) -> NoReturn:
        """Refuse to copy within the archive; `copyfile_to_local` copies out of it."""
        _refuse("write", dst)

    def copytree(self, src: FilePath, dst: FilePath) -> NoReturn:
        """Refuse to copy within the archive; `copytree_to_local` copies out of it."""
        _refuse("write", dst)

    def copyfile_from_local(self, src: FilePath, dst: FilePath) -> NoReturn:
        """Refuse to copy a file into the archive."""
        _refuse("write", dst)

    def copytree_from_local(self, src: FilePath, dst: FilePath) -> NoReturn:
        """Refuse to copy a folder into the archive."""
        _refuse("write", dst)

    def copy_if_symlink_fails(self, src: FilePath, dst: FilePath) -> NoReturn:
        """Refuse to link or copy within the archive."""
        _refuse("write", dst)


def _refuse(action: str, path: FilePath) -> NoReturn:
    raise ReadOnlyError(f"cannot {action} {os.fspath(path)}: an .ffr archive is read-only; to change it, pack it anew")
