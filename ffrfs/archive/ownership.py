"""Who else can say where a path leads.

Root must not write to, or mount on, what an ordinary user has a symlink point to. May be called by any thread.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

__all__ = ["changeable_by_others"]

_MAX_LINKS = 40  # as the kernel's


def changeable_by_others(path: str) -> str | None:
    """The first step of a path, links followed, that an ordinary user can make lead elsewhere.

    Returns: its path; None if there is none, and always where this process is not root's: what others write, they
    write with their own rights. That a group can write to a folder is taken for root's wish. What does not exist is
    nobody's. Raises: OSError.
    """
    if os.geteuid() != 0:
        return None
    shared = False  # whether the folder that the step is in is one like /tmp
    for step in _steps(os.path.abspath(path)):
        try:
            status = os.lstat(step)
        except FileNotFoundError:
            return None
        is_folder = stat.S_ISDIR(status.st_mode)
        if status.st_uid != 0 and (is_folder or shared):
            return step
        if is_folder:
            shared = bool(status.st_mode & stat.S_IWOTH)
            if shared and not status.st_mode & stat.S_ISVTX:
                return step
    return None


def _steps(path: str) -> Iterator[str]:
    """All folders and links on an absolute path, and what it ends at, each under a path without links above it."""
    at, waiting, links = "/", _names(path), 0
    yield at
    while waiting:
        name = waiting.pop()
        if name == "..":
            at = os.path.dirname(at)
            yield at
            continue
        step = os.path.join(at, name)
        yield step
        if not os.path.islink(step):
            at = step
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(step)
        if target.startswith("/"):
            at = "/"
            yield at
        waiting += _names(target)


def _names(path: str) -> list[str]:
    """The names in a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
