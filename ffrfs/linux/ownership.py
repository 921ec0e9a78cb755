"""Who else can say where a path leads.

Root must not write to, mount on, or show to others what an ordinary user has a symlink point to. May be called by any
thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["changeable_by_others", "check_files", "open_folder"]

_MAX_LINKS = 40  # as the kernel's


@dataclass(frozen=True, slots=True)
class _Step:
    """A folder or link on the way to what a path names, or that itself.

    path: where it is, with no link above it. is_link: whether it is a symlink. replaceable: whether an ordinary user
    can put something else in its place. contents_replaceable: whether one can do so with all that is in it, a folder.
    """

    path: str
    is_link: bool
    replaceable: bool
    contents_replaceable: bool


def changeable_by_others(path: str) -> str | None:
    """The first step of a path, links followed, that an ordinary user can make lead elsewhere.

    Returns: its path; None if there is none, and always where this process is not root's: what others write, they
    write with their own rights. That a group can write to a folder is taken for root's wish. What does not exist is
    nobody's. Raises: OSError.
    """
    if not _is_root():
        return None
    with contextlib.suppress(FileNotFoundError):
        for step in _steps(path):
            if step.replaceable or step.contents_replaceable:
                return step.path
    return None


def open_folder(path: str) -> int:
    """Open a folder with O_PATH: the descriptor stays at the same folder whatever is renamed meanwhile.

    For root, no link is followed that an ordinary user can replace.
    Returns: the descriptor. Raises: OSError, EPERM and the link's path for such a link.
    """
    if not _is_root():
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return _open_without_links(_without_links(path), os.O_DIRECTORY)


def check_files(paths: Sequence[str], descriptors: Sequence[int]) -> None:
    """Check that root has opened these files through no link that an ordinary user can replace.

    Args: descriptors, of the open files, which are compared with what the paths lead to without such links: so it does
    not matter when a user has put a link there. Raises: OSError, EPERM and the link's path for such a link, ESTALE if
    a path leads to another file by now.
    """
    if not _is_root():
        return
    folders: dict[str, int] = {}
    try:
        for path, descriptor in zip(map(os.path.abspath, paths), descriptors, strict=True):
            folder, name = os.path.split(path)
            if folder not in folders:
                folders[folder] = open_folder(folder)
            found = os.stat(name, dir_fd=folders[folder], follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                found = _stat_without_links(_without_links(path))
            if not os.path.samestat(found, os.fstat(descriptor)):
                raise OSError(errno.ESTALE, "another file has come to its place", path)
    finally:
        for fd in folders.values():
            os.close(fd)


def _is_root() -> bool:
    """Whether this process is root's. Root of a user namespace is not: it has the rights of the user who made it."""
    if os.geteuid() != 0:
        return False
    with open("/proc/self/uid_map", encoding="ascii") as lines:
        return lines.read().split() == ["0", "0", str(2**32 - 1)]


def _without_links(path: str) -> str:
    """The path of what a path leads to. Raises: OSError, EPERM and its path for a link that a user can replace."""
    target = "/"
    for step in _steps(path):
        if not step.is_link:
            target = step.path
        elif step.replaceable:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), step.path)
    return target


def _open_without_links(path: str, flags: int = 0) -> int:
    """Open an absolute path with O_PATH, each name in the folder opened before, so that no link is followed."""
    fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
    *folders, last = path.split("/")
    for name, kind in [*((folder, os.O_DIRECTORY) for folder in folders), (last, flags)]:
        above = fd
        try:
            fd = os.open(name or ".", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=above)
        finally:
            os.close(above)
    return fd


def _stat_without_links(path: str) -> os.stat_result:
    fd = _open_without_links(path)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _steps(path: str) -> Iterator[_Step]:
    """All folders and links on a path, and what it ends at. Raises: OSError."""
    theirs = shared = False  # of the folder that the step is in: its contents are replaceable; it is one like /tmp
    for place, status in _walk(os.path.abspath(path)):
        is_folder = stat.S_ISDIR(status.st_mode)
        replaceable = place != "/" and (theirs or (shared and status.st_uid != 0))
        if is_folder:
            everybody_writes = bool(status.st_mode & stat.S_IWOTH)
            shared = everybody_writes and bool(status.st_mode & stat.S_ISVTX)
            theirs = replaceable or status.st_uid != 0 or (everybody_writes and not shared)
        yield _Step(
            place,
            is_link=stat.S_ISLNK(status.st_mode),
            replaceable=replaceable,
            contents_replaceable=is_folder and theirs,
        )


def _walk(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Each step of an absolute path, as `_Step.path` has it, with its own status, a link's before its target's.

    Raises: OSError, ELOOP for more links than the kernel follows.
    """
    folder, waiting, links = "/", _names(path), 0
    yield folder, os.lstat(folder)
    while waiting:
        name = waiting.pop()
        if name == "..":
            folder = os.path.dirname(folder)
            yield folder, os.lstat(folder)
            continue
        place = os.path.join(folder, name)
        status = os.lstat(place)
        yield place, status
        if not stat.S_ISLNK(status.st_mode):
            folder = place
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(place)
        if target.startswith("/"):
            folder = "/"
            yield folder, os.lstat(folder)
        waiting += _names(target)


def _names(path: str) -> list[str]:
    """The names in a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
