"""Mount points: what is mounted where, whether a place can be mounted over, and unmounting."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from dataclasses import dataclass

from ffrfs.errors import MountError
from ffrfs.linux.ownership import open_folder

__all__ = [
    "DEAD_ERRNOS",
    "FS_TYPE",
    "Mount",
    "check_mountpoint",
    "clean_stale",
    "find_mount",
    "is_dead",
    "is_mounted",
    "list_mounts",
    "mount_on",
    "open_mountpoint",
    "unmount",
    "unmount_made",
]

FS_TYPE = "fuse.ffrfs"
DEAD_ERRNOS = (errno.ENOTCONN, errno.ECONNABORTED)
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo: number, where, of which device (major:minor), type, source, super options."""

    number: int
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
                mounts.append(Mount(int(fields[0]), _unescape(fields[4]), fields[2], kind, _unescape(source), options))
    return mounts


def find_mount(mountpoint: str, fs_type: str | None = FS_TYPE) -> Mount | None:
    """The topmost mount at this path, or None. The path itself is not touched, so a dead mount does no harm."""
    path = _real_path(mountpoint)
    return next((mount for mount in reversed(list_mounts(fs_type)) if mount.mountpoint == path), None)


def is_mounted(mount: Mount) -> bool:
    """Whether this very mount is still there, wherever that is by now."""
    return _as_it_is_now(mount) is not None


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
    while (mount := find_mount(mountpoint)) is not None and is_dead(mount.mountpoint):
        unmount_made(mount)
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


def open_mountpoint(mountpoint: str) -> int:
    """Open a mount point as a place, so that nobody makes root mount elsewhere. Raises: MountError."""
    try:
        return open_folder(mountpoint)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise MountError(f"mount point {mountpoint} cannot be used: {error.strerror}") from None
        raise MountError(
            f"mount point {mountpoint} leads through {error.filename}, a link that other users can change: name the"
            " folder that it leads to"
        ) from None


def mount_on(place: int) -> Mount | None:
    """The topmost mount of ffrfs on a mount point that was opened before it was made, or None."""
    path = os.readlink(f"/proc/self/fd/{place}")
    return next((mount for mount in reversed(list_mounts()) if mount.mountpoint == path), None)


def unmount(mountpoint: str) -> None:
    """Unmount lazily: the name goes at once, open files stay readable until they are closed.

    Raises: MountError.
    """
    path = _real_path(mountpoint)
    problem = _detach(path, _UMOUNT_NOFOLLOW)
    if problem == 0:
        return
    if problem != errno.EPERM or os.geteuid() == 0:
        raise MountError(f"{mountpoint} cannot be unmounted: {os.strerror(problem)}")
    fusermount = shutil.which("fusermount3") or shutil.which("fusermount")
    if fusermount is None:
        raise MountError(f"{mountpoint} cannot be unmounted: fusermount3 is missing, install the package fuse3")
    done = subprocess.run([fusermount, "-u", "-z", "--", path], capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise MountError(f"{mountpoint} cannot be unmounted: {done.stderr.strip() or 'fusermount3 failed'}")


def unmount_made(mount: Mount) -> None:
    """Unmount this very mount, if it is still there, also where folders on its path were renamed or replaced by links.

    Raises: MountError.
    """
    found = _as_it_is_now(mount)
    if found is None:
        return
    try:
        if os.geteuid() == 0:
            _unmount_as_root(found)
        else:
            unmount(found.mountpoint)  # fusermount3 lets a user unmount nothing but his own
    except MountError:
        if is_mounted(mount):
            raise


def _unmount_as_root(mount: Mount) -> None:
    """Unmount it by a descriptor, so that no user can have root unmount something else by a link.

    Raises: MountError.
    """
    try:
        fd = os.open(mount.mountpoint, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise MountError(f"{mount.mountpoint} cannot be unmounted: {error.strerror}") from None
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as facts:
            numbers = [int(line.split()[1]) for line in facts if line.startswith("mnt_id:")]
        problem = _detach(f"/proc/self/fd/{fd}", 0) if numbers == [mount.number] else errno.ESTALE
    finally:
        os.close(fd)
    if problem:
        raise MountError(f"{mount.mountpoint} cannot be unmounted: {os.strerror(problem)}")


def _detach(path: str, flags: int) -> int:
    """Unmount lazily; returns an errno, or 0."""
    libc = ctypes.CDLL(None, use_errno=True)
    return 0 if libc.umount2(os.fsencode(path), _MNT_DETACH | flags) == 0 else ctypes.get_errno()


def _as_it_is_now(mount: Mount) -> Mount | None:
    same = (mount.number, mount.device)
    return next((found for found in list_mounts() if (found.number, found.device) == same), None)


def _real_path(mountpoint: str) -> str:
    """The absolute path without links, without looking at the mount point itself, which may be dead."""
    parent, name = os.path.split(os.path.abspath(mountpoint))
    return os.path.join(os.path.realpath(parent), name)


def _unescape(field: str) -> str:
    """Mountinfo writes space, tab, newline and backslash as three octal digits."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
