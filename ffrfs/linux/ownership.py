"""Who else can say where a path leads.

Root must not write to, or mount on, what an ordinary user has a symlink point to. May be called by any thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

__all__ = ["changeable_by_others", "open_folder"]

_MAX_LINKS = 40  # as the kernel's
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def changeable_by_others(path: str) -> str | None:
    """The first step of a path, links followed, that an ordinary user can make lead elsewhere.

    Returns: its path; None if there is none, and always where this process is not root's: what others write, they
    write with their own rights. That a group can write to a folder is taken for root's wish. What does not exist is
    nobody's. Raises: OSError.
    """
    if not _is_root():
        return None
    with contextlib.suppress(FileNotFoundError):
        for step, _, theirs, inside_theirs in _steps(os.path.abspath(path)):
            if theirs or inside_theirs:
                return step
    return None


def open_folder(path: str) -> int:
    """Open a folder as a place (O_PATH), which stays the same whatever is renamed meanwhile.

    For root, no link is followed that is in a folder which an ordinary user can write to.
    Returns: the descriptor. Raises: OSError, EPERM and the link's path for such a link.
    """
    if not _is_root():
        return os.open(path, _PLACE)
    at = "/"
    for step, is_link, theirs, _ in _steps(os.path.abspath(path)):
        if is_link and theirs:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), step)
        at = at if is_link else step
    return _open_without_links(at)


def _is_root() -> bool:
    """Whether this process is root's. Root of a user namespace is not: it has the rights of the user who made it."""
    if os.geteuid() != 0:
        return False
    with open("/proc/self/uid_map", encoding="ascii") as lines:
        return lines.read().split() == ["0", "0", str(2**32 - 1)]


def _open_without_links(path: str) -> int:
    fd = os.open("/", _PLACE)
    for name in path.split("/"):
        above = fd
        try:
            fd = os.open(name or ".", _PLACE | os.O_NOFOLLOW, dir_fd=above)
        finally:
            os.close(above)
    return fd


def _steps(path: str) -> Iterator[tuple[str, bool, bool, bool]]:
    """All folders and links on an absolute path, and what it ends at, each under a path without links above it.

    Yields: the step; whether it is a link; whether an ordinary user can put something else in its place; whether one
    can do so with what is in it. Raises: OSError.
    """
    theirs = shared = False  # of the folder that the step is in: it is in a user's hands; it is one like /tmp
    for step, status in _walk(path):
        is_folder = stat.S_ISDIR(status.st_mode)
        everybody = is_folder and bool(status.st_mode & stat.S_IWOTH)
        replaceable = step != "/" and (theirs or (shared and status.st_uid != 0))
        if is_folder:
            shared = everybody and bool(status.st_mode & stat.S_ISVTX)
            theirs = replaceable or status.st_uid != 0 or (everybody and not shared)
        yield step, stat.S_ISLNK(status.st_mode), replaceable, is_folder and theirs


def _walk(path: str) -> Iterator[tuple[str, os.stat_result]]:
    at, waiting, links = "/", _names(path), 0
    yield at, os.lstat(at)
    while waiting:
        name = waiting.pop()
        if name == "..":
            at = os.path.dirname(at)
            yield at, os.lstat(at)
            continue
        step = os.path.join(at, name)
        status = os.lstat(step)
        yield step, status
        if not stat.S_ISLNK(status.st_mode):
            at = step
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(step)
        if target.startswith("/"):
            at = "/"
            yield at, os.lstat(at)
        waiting += _names(target)


def _names(path: str) -> list[str]:
    """The names in a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
