"""Files and folders that appear under their own name only when they are whole.

What is being written has a temporary name `.NAME.<16 hex digits>.tmp` in the target's folder. The next writer of the
same target removes what a writer that was killed has left there. Others may be able to rename files in that folder, so
a name proves nothing, and only what carries this user's mark is removed:

- A temporary file has, until it is committed, the sticky bit in its mode, which has no other use on a file, belongs to
  this user, and is locked by `flock` for as long as its writer lives. The kernel drops that lock however the writer
  ends. Where a file system keeps no modes or has no locks, nothing is ever removed.
- A temporary folder has such a file in it. Only files are removed from it, and itself if that leaves it empty.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence

__all__ = ["PendingFile", "PendingFolder", "sync_folder"]

_MARK = stat.S_ISVTX
_FOLDER_MARK = ".temporary"  # the marked file of a temporary folder
_NAME_BYTES = 200  # of the target's name, so that the temporary name stays below the usual limit of 255
_LOCK_UNSUPPORTED = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}


class PendingFile:
    """A file that gets its name at `commit`.

    Args: target, its path; anything of that name is replaced then. Attributes: target; path, the temporary; fd, open
    for writing. Opening it removes what dead writers of the same target left.
    Raises: OSError, IsADirectoryError if the target is a folder.
    """

    def __init__(self, target: str) -> None:
        if os.path.isdir(target):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
        self.target = target
        self._pid = os.getpid()
        remove_leftovers(target)
        self.fd = -1
        while self.fd < 0:
            self.path = _temporary_path(target)
            self.fd = _create_locked(self.path)

    def pwrite(self, data: memoryview, offset: int) -> int:
        """Write bytes at an offset; returns how many were written. Raises: OSError."""
        return os.pwrite(self.fd, data, offset)

    def commit(self, mode: int | None = None) -> None:
        """Make the contents durable and give them their name, in one step as others see it.

        Args: mode, the file's permissions, by default those of a new file.
        """
        os.fsync(self.fd)
        # Not before: a writer that is killed while the disk is busy leaves what still can be told as a temporary.
        os.fchmod(self.fd, stat.S_IMODE(os.fstat(self.fd).st_mode) & ~_MARK if mode is None else mode)
        os.rename(self.path, self.target)
        self._close()
        sync_folder(os.path.dirname(self.target))

    def abort(self) -> None:
        """Drop the contents. Harmless after `commit` and a second time."""
        if self.fd >= 0:
            if self._pid == os.getpid():  # a forked child drops its copy, not its parent's file
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path)
            self._close()

    def _close(self) -> None:
        fd, self.fd = self.fd, -1
        os.close(fd)


class PendingFolder:
    """A folder for files that belong together, which get their names in `folder` at `commit`.

    Args: folder, an existing one; label, what the temporary inside it is called after. Attributes: folder; path, the
    temporary. Raises: OSError.
    """

    def __init__(self, folder: str, label: str) -> None:
        self.folder = folder
        target = os.path.join(folder, label)
        remove_leftovers(target)
        self._fd = self._mark_fd = -1
        while self._mark_fd < 0:
            self.abort()
            self.path = _temporary_path(target)
            os.mkdir(self.path)
            # What is moved and removed is found by this descriptor: others may have renamed folders by then.
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                self._mark_fd = _create_locked(_FOLDER_MARK, self._fd)
            except OSError:
                self.abort()
                raise

    def commit(self, names: Sequence[str]) -> None:
        """Move these files to `folder`, the last first, and make their names durable.

        Raises: FileNotFoundError if one is missing; then none is moved.
        """
        for name in names:
            os.stat(name, dir_fd=self._fd)
        for name in reversed(names):
            os.rename(name, os.path.join(self.folder, name), src_dir_fd=self._fd)
        self.abort()
        sync_folder(self.folder)

    def abort(self) -> None:
        """Drop what is in the temporary, and itself. Harmless after `commit` and a second time."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                _remove_files(self._fd)
                os.rmdir(self.path)
            for fd in (self._mark_fd, self._fd):
                if fd >= 0:
                    os.close(fd)
            self._mark_fd = self._fd = -1


def remove_leftovers(target: str) -> None:
    """Remove the temporaries of `target` whose writers are dead. One that cannot be removed is left.

    Raises: OSError if the target's folder cannot be read.
    """
    pattern = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{16}\.tmp")
    folder_fd = os.open(os.path.dirname(target) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in filter(pattern.fullmatch, os.listdir(folder_fd)):
            with contextlib.suppress(OSError):
                _remove_leftover(name, folder_fd)
    finally:
        os.close(folder_fd)


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable, where its file system can."""
    fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def _prefix(target: str) -> str:
    return f".{os.fsdecode(os.fsencode(os.path.basename(target))[:_NAME_BYTES])}."


def _temporary_path(target: str) -> str:
    return os.path.join(os.path.dirname(target), f"{_prefix(target)}{secrets.token_hex(8)}.tmp")


def _create_locked(path: str, folder_fd: int | None = None) -> int:
    """Make a temporary file, marked and locked. Returns: its descriptor, or -1 if it was removed before it was locked,
    as that of a dead writer. Raises: OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(path, flags, 0o666 | _MARK, dir_fd=folder_fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path, dir_fd=folder_fd, follow_symlinks=False)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        if error.errno in _LOCK_UNSUPPORTED:
            return fd
        os.close(fd)
        raise
    os.close(fd)
    return -1


def _remove_leftover(name: str, folder_fd: int) -> None:
    """Remove a temporary. Raises: OSError if its writer lives, it is not ours, or it cannot be locked or removed."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode):
        with _dead_temporary(name, folder_fd):
            os.unlink(name, dir_fd=folder_fd)
        return
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        with _dead_temporary(_FOLDER_MARK, fd):
            _remove_files(fd)
            os.rmdir(name, dir_fd=folder_fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _dead_temporary(name: str, folder_fd: int) -> Iterator[None]:
    """A temporary file of ours, locked during the block. Raises: OSError if its writer lives, or it is not ours."""
    # NFS locks exclusively only what is open for writing; O_NONBLOCK: opening a FIFO must not hang.
    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        status = os.fstat(fd)
        marked = stat.S_ISREG(status.st_mode) and status.st_mode & _MARK
        if not marked or status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it is no temporary of this user", name)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _remove_files(folder_fd: int) -> None:
    """Remove the files in a temporary folder, its mark last: as long as there is more in it, it can be told as ours.

    Raises: OSError, IsADirectoryError for a folder in it.
    """
    names = os.listdir(folder_fd)
    for name in sorted(names, key=_FOLDER_MARK.__eq__):
        os.unlink(name, dir_fd=folder_fd)
