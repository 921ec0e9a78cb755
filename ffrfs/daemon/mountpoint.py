"""Mount points: what is mounted where, whether a place can be mounted over, and unmounting."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from dataclasses import dataclass

from ffrfs.errors import MountError

__all__ = [
    "DEAD_ERRNOS",
    "FS_TYPE",
    "Mount",
    "check_mountpoint",
    "clean_stale",
    "find_mount",
    "is_dead",
    "list_mounts",
    "unmount",
]

FS_TYPE = "fuse.ffrfs"
DEAD_ERRNOS = (errno.ENOTCONN, errno.ECONNABORTED)
_MNT_DETACH = 2


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo: where, of which device (major:minor), type, source and super options."""

    mountpoint: str
    device: str
    fs_type: str
    source: str
    options: str

    @property
    def connection(self) -> int:
        """The number of the FUSE connection, as in /sys/fs/fuse/connections."""
        return int(self.device.partition(":")[2])

    @property
    def owner_uid(self) -> int:
        """Who mounted it."""
        return self._number("user_id")

    @property
    def owner_gid(self) -> int:
        """The group of who mounted it."""
        return self._number("group_id")

    @property
    def allow_other(self) -> bool:
        """Whether users other than the owner may look into it."""
        return "allow_other" in self.options.split(",")

    def _number(self, option: str) -> int:
        values = dict(word.partition("=")[::2] for word in self.options.split(","))
        return int(values.get(option, 0))


def list_mounts(fs_type: str | None = FS_TYPE) -> list[Mount]:
    """The mounts of this mount namespace in the order they were made; only ffrfs's, or all if fs_type is None."""
    mounts = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            front, _, back = line.rstrip("\n").partition(" - ")
            fields, (kind, source, options) = front.split(" "), back.split(" ")[:3]
            if fs_type is None or kind == fs_type:
                mounts.append(Mount(_unescape(fields[4]), fields[2], kind, _unescape(source), options))
    return mounts


def find_mount(mountpoint: str, fs_type: str | None = FS_TYPE) -> Mount | None:
    """The topmost mount at this path, or None. The path itself is not touched, so a dead mount does no harm."""
    path = _real_path(mountpoint)
    return next((mount for mount in reversed(list_mounts(fs_type)) if mount.mountpoint == path), None)


def is_dead(mountpoint: str) -> bool:
    """Whether a mount is there whose daemon is gone."""
    try:
        os.statvfs(mountpoint)  # which is asked each time, whereas the kernel keeps the answer to stat
    except OSError as error:
        return error.errno in DEAD_ERRNOS
    return False


def clean_stale(mountpoint: str) -> bool:
    """Unmount a dead mount of ffrfs at this path; returns whether there was one."""
    cleaned = False
    while find_mount(mountpoint) is not None and is_dead(mountpoint):
        unmount(mountpoint)
        cleaned = True
    return cleaned


def check_mountpoint(mountpoint: str, archive_paths: list[str], nonempty: bool) -> None:
    """Raises: MountError if nothing can or should be mounted here; a dead mount is to be cleaned before."""
    try:
        names = os.listdir(mountpoint)
    except FileNotFoundError:
        raise MountError(f"mount point {mountpoint} does not exist: create it with mkdir") from None
    except NotADirectoryError:
        raise MountError(f"mount point {mountpoint} is not a folder") from None
    except PermissionError:
        raise MountError(f"mount point {mountpoint} cannot be read: you need the rights to the folder") from None
    except OSError as error:
        if error.errno in DEAD_ERRNOS:
            raise MountError(
                f"at mount point {mountpoint} is a dead mount of another program: end it with 'umount -l {mountpoint}'"
            ) from None
        raise MountError(f"mount point {mountpoint} cannot be used: {error.strerror}") from None
    if find_mount(mountpoint) is not None:
        raise MountError(f"{mountpoint} is already mounted: 'ffrfs umount {mountpoint}' ends it")
    inside = os.path.realpath(mountpoint) + os.sep
    for path in archive_paths:
        if os.path.realpath(path).startswith(inside):
            raise MountError(f"mount point {mountpoint} holds the archive {path} itself: choose another place")
    if names and not nonempty:
        raise MountError(
            f"mount point {mountpoint} is not empty (it has {names[0]!r}): choose an empty folder, or add '-o nonempty'"
        )


def unmount(mountpoint: str) -> None:
    """Unmount lazily: the name goes at once, open files stay readable until they are closed.

    Raises: MountError.
    """
    path = _real_path(mountpoint)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), _MNT_DETACH) == 0:
        return
    problem = ctypes.get_errno()
    if problem != errno.EPERM or os.geteuid() == 0:
        raise MountError(f"{mountpoint} cannot be unmounted: {os.strerror(problem)}")
    fusermount = shutil.which("fusermount3") or shutil.which("fusermount")
    if fusermount is None:
        raise MountError(f"{mountpoint} cannot be unmounted: fusermount3 is missing, install the package fuse3")
    done = subprocess.run([fusermount, "-u", "-z", "--", path], capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise MountError(f"{mountpoint} cannot be unmounted: {done.stderr.strip() or 'fusermount3 failed'}")


def _real_path(mountpoint: str) -> str:
    """The absolute path without links, without looking at the mount point itself, which may be dead."""
    parent, name = os.path.split(os.path.abspath(mountpoint))
    return os.path.join(os.path.realpath(parent), name)


def _unescape(field: str) -> str:
    """Mountinfo writes space, tab, newline and backslash as three octal digits."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
