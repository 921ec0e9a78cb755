"""Files and folders that appear under their own name only when they are whole.

What is being written has a temporary name `.NAME.<16 hex digits>.tmp` in the target's folder, and an exclusive `flock`
for as long as its writer lives. The kernel drops that lock however the writer ends, SIGKILL included, so a temporary
whose lock is free is litter, which the next writer of the same target removes. Where a file system has no locks, none
can be taken and nothing is ever removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Sequence

__all__ = ["PendingFile", "PendingFolder", "sync_folder"]

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
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            self.fd = _locked(fd, self.path)

    def commit(self) -> None:
        """Make the contents durable and give them their name, in one step as others see it."""
        os.fsync(self.fd)
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
        self._fd = -1
        while self._fd < 0:
            self.path = _temporary_path(target)
            os.mkdir(self.path)
            self._fd = _locked(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), self.path)

    def commit(self, names: Sequence[str]) -> None:
        """Move these files to `folder`, the last first, and make their names durable.

        Raises: FileNotFoundError if one is missing; then none is moved.
        """
        for name in names:
            os.stat(os.path.join(self.path, name))
        for name in reversed(names):
            os.rename(os.path.join(self.path, name), os.path.join(self.folder, name))
        self.abort()
        sync_folder(self.folder)

    def abort(self) -> None:
        """Drop what is in the temporary, and itself. Harmless after `commit` and a second time."""
        if self._fd >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            fd, self._fd = self._fd, -1
            os.close(fd)


def remove_leftovers(target: str) -> None:
    """Remove the temporaries of `target` whose writers are dead. One that cannot be removed is left.

    Raises: OSError if the target's folder cannot be read.
    """
    folder = os.path.dirname(target) or "."
    pattern = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{16}\.tmp")
    for name in os.listdir(folder):
        if pattern.fullmatch(name):
            with contextlib.suppress(OSError):
                _remove_if_dead(os.path.join(folder, name))


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


def _locked(fd: int, path: str) -> int:
    """Lock a temporary just made; returns fd, or -1, fd closed, if a cleaner took it in the meantime for litter."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.path.samestat(os.fstat(fd), os.lstat(path))
    except (BlockingIOError, FileNotFoundError):
        ours = False
    except OSError as error:
        ours = error.errno in _LOCK_UNSUPPORTED
        if not ours:
            os.close(fd)
            raise
    if ours:
        return fd
    os.close(fd)
    return -1


def _remove_if_dead(path: str) -> None:
    """Remove a temporary. Raises: OSError if its writer lives, or it cannot be locked or removed."""
    is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    mode = os.O_DIRECTORY if is_folder else os.O_RDWR  # NFS locks exclusively only what is open for writing
    fd = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            shutil.rmtree(path)
        else:
            os.unlink(path)
    finally:
        os.close(fd)
