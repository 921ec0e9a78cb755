"""The folder that an archive is unpacked into. Nothing is written outside of it.

Names come checked from the index (no `/`, no `..`); every folder is opened relative to the one that it is in and never
through a symlink; every file is created new, never opened, so that links in the way lead nowhere. The folder itself may
be named by a link, but not for root by one that another user can change.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator

from ffrfs.linux.ownership import open_folder

__all__ = ["TargetFolder"]

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FOLDERS = 64  # kept open above each other: in a deep tree each step up or down would otherwise begin at the root
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TargetFolder:
    """A folder for files.

    Args: path, made if it does not exist; force, whether it may have something in it, and what is in the way of a file
    or folder is replaced, except a folder by a file. Paths in it are bytes, without a leading slash.
    Raises: FileExistsError if it is not empty, without force; PermissionError if root would be led to it by a link that
    another user can change; OSError.
    """

    def __init__(self, path: str, force: bool) -> None:
        self._path, self._force = path, force
        self._root_fd = _open_target(path)
        self._entered: list[tuple[bytes, int]] = []  # the folder entered last, and before it some of those above it
        if not force and os.listdir(self._root_fd):
            self.close()
            raise FileExistsError(errno.EEXIST, "the folder is not empty, and overwriting was not asked for", path)

    def close(self) -> None:
        """Close the folder."""
        while self._entered:
            os.close(self._entered.pop()[1])
        os.close(self._root_fd)

    def __enter__(self) -> TargetFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextlib.contextmanager
    def marked(self, marker: bytes) -> Iterator[None]:
        """Keep a file of this name in the folder until the block ends without an exception."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(marker, dir_fd=self._root_fd)
        os.close(os.open(marker, _FILE_FLAGS, 0o666, dir_fd=self._root_fd))
        yield
        os.unlink(marker, dir_fd=self._root_fd)

    def enter(self, path: bytes) -> None:
        """Go to a folder, making it and those above it where they do not exist.

        Raises: FileExistsError if something else is in the way, without force; OSError.
        """
        entered = self._entered
        while entered and not (path == entered[-1][0] or path.startswith(entered[-1][0] + b"/")):
            os.close(entered.pop()[1])
        above = entered[-1][0] if entered else b""
        rest = path[len(above) :].strip(b"/")
        try:
            for name in rest.split(b"/") if rest else ():
                above = above + b"/" + name if above else name
                entered.append((above, self._open_folder(self._folder_fd, name)))
                if len(entered) > _OPEN_FOLDERS:
                    os.close(entered.pop(0)[1])
        except OSError as error:
            raise self._named(error, path) from None

    @property
    def _folder_fd(self) -> int:
        return self._entered[-1][1] if self._entered else self._root_fd

    def write(self, path: bytes, size_bytes: int, parts: Iterable[memoryview]) -> None:
        """Write a file of so many bytes. If that fails, also because `parts` raises, the file is removed again.

        Raises: FileExistsError if something is in the way, without force; IsADirectoryError if that is a folder, with
        it; OSError; what `parts` raises.
        """
        folder, _, name = path.rpartition(b"/")
        self.enter(folder)
        try:
            fd = self._create(name)
        except OSError as error:
            raise self._named(error, path) from None
        try:
            for part in parts:
                self._write_out(fd, part, path)
        except BaseException:
            os.unlink(name, dir_fd=self._folder_fd)
            raise
        finally:
            os.close(fd)

    def _open_folder(self, above_fd: int, name: bytes) -> int:
        try:
            return os.open(name, _FOLDER_FLAGS, dir_fd=above_fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            if not self._force:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            os.unlink(name, dir_fd=above_fd)
        os.mkdir(name, dir_fd=above_fd)
        return os.open(name, _FOLDER_FLAGS, dir_fd=above_fd)

    def _create(self, name: bytes) -> int:
        try:
            return os.open(name, _FILE_FLAGS, 0o666, dir_fd=self._folder_fd)
        except FileExistsError:
            if not self._force:
                raise
        os.unlink(name, dir_fd=self._folder_fd)
        return os.open(name, _FILE_FLAGS, 0o666, dir_fd=self._folder_fd)

    def _write_out(self, fd: int, part: memoryview, path: bytes) -> None:
        done = 0
        try:
            while done < len(part):
                done += os.write(fd, part[done:])
        except OSError as error:
            raise self._named(error, path) from None

    def _named(self, error: OSError, path: bytes) -> OSError:
        """The same error about a path that the user knows."""
        return OSError(error.errno, error.strerror, os.path.join(self._path, os.fsdecode(path)))


def _open_target(path: str) -> int:
    """Open the folder, made if it does not exist. Raises: OSError."""
    above, name = os.path.split(os.path.abspath(path))
    try:
        with _opened(above) as above_fd, contextlib.suppress(FileExistsError):
            os.mkdir(name or ".", dir_fd=above_fd)
        with _opened(path) as fd:
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        raise PermissionError(
            errno.EPERM, "other users can change this link, and root does not unpack where it leads", error.filename
        ) from None


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    """A folder as an O_PATH descriptor, see `open_folder`."""
    fd = open_folder(path)
    try:
        yield fd
    finally:
        os.close(fd)
