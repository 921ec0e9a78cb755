"""Mount points: what is mounted where, whether a place can be mounted over, and unmounting."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess

from ffrfs.errors import MountError, printable
from ffrfs.linux.libc import last_error, libc
from ffrfs.linux.mountinfo import FS_TYPE, Mount, read_mounts
from ffrfs.linux.ownership import changeable_by_others, open_folder

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
    "real_path",
    "unmount_made",
    "unmount_unused",
]

DEAD_ERRNOS = (errno.ENOTCONN, errno.ECONNABORTED)
_MNT_DETACH, _MNT_EXPIRE, _UMOUNT_NOFOLLOW = 2, 4, 8
_MAX_LINKS = 40  # as the kernel's


def list_mounts(fs_type: str | None = FS_TYPE) -> list[Mount]:
    """The mounts of this mount namespace in the order they were made; only ffrfs's, or all if fs_type is None."""
    return read_mounts(fs_type)


def find_mount(mountpoint: str, fs_type: str | None = FS_TYPE) -> Mount | None:
    """The topmost mount at this path, or None. The path itself is not touched, so a dead mount does no harm.

    Raises: MountError for root, if another user's link leads there.
    """
    path = real_path(mountpoint)
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
        raise _theirs(mountpoint, error.filename) from None


def mount_on(place: int) -> Mount | None:
    """The topmost mount of ffrfs on a mount point that was opened before it was made, or None."""
    path = os.readlink(f"/proc/self/fd/{place}")
    return next((mount for mount in reversed(list_mounts()) if mount.mountpoint == path), None)


def unmount_made(mount: Mount) -> None:
    """Unmount this very mount lazily, if it is still there, also where folders on its path were renamed or replaced by
    links: the name goes at once, open files stay readable until they are closed.

    Raises: MountError.
    """
    found = _as_it_is_now(mount)
    if found is None:
        return
    try:
        _unmount(found)
    except MountError:
        if is_mounted(mount):
            raise


def unmount_unused(mount: Mount, expire: bool = False) -> bool:
    """Unmount this very mount if no process has a file or folder of it open; returns whether it is gone.

    Args: expire, which only root can: only if it was not used either since the last such call (MNT_EXPIRE).
    Raises: MountError.
    """
    found = _as_it_is_now(mount)
    if found is None:
        return True
    if found.number != [at.number for at in list_mounts(None) if at.mountpoint == found.mountpoint][-1]:
        return False  # something is mounted over it, which uses it
    folder, name = os.path.split(found.mountpoint)
    try:
        place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise MountError(f"{mount.mountpoint} cannot be unmounted: {error.strerror}") from None
    try:
        flags = _UMOUNT_NOFOLLOW | (_MNT_EXPIRE if expire else 0)
        problem = _umount(f"/proc/self/fd/{place}/{name}", flags)
    finally:
        os.close(place)
    if problem == errno.EPERM and os.geteuid() != 0 and not expire:
        with contextlib.suppress(MountError):  # busy
            _ask_fusermount(found.mountpoint, "-u")
        return not is_mounted(found)
    if problem not in (0, errno.EBUSY, errno.EAGAIN):
        raise MountError(f"{mount.mountpoint} cannot be unmounted: {os.strerror(problem)}")
    return problem == 0


def _unmount(mount: Mount) -> None:
    """Unmount it by a descriptor, so that nothing else is unmounted, whatever a user's link or a later mount does.

    Raises: MountError.
    """
    try:
        fd = os.open(mount.mountpoint, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise MountError(f"{mount.mountpoint} cannot be unmounted: {error.strerror}") from None
    try:
        if _mount_number(fd) != mount.number:
            raise MountError(f"{mount.mountpoint} cannot be unmounted: something else is mounted over it")
        problem = _umount(f"/proc/self/fd/{fd}", _MNT_DETACH)
    finally:
        os.close(fd)
    if problem == errno.EPERM and os.geteuid() != 0:
        _ask_fusermount(mount.mountpoint, "-u", "-z")
    elif problem:
        raise MountError(f"{mount.mountpoint} cannot be unmounted: {os.strerror(problem)}")


def _mount_number(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as facts:
        return next(int(line.split()[1]) for line in facts if line.startswith("mnt_id:"))


def _ask_fusermount(path: str, *options: str) -> None:
    """Have it unmount what is this user's own, which is all that it unmounts. Raises: MountError."""
    fusermount = shutil.which("fusermount3") or shutil.which("fusermount")
    if fusermount is None:
        raise MountError(f"{path} cannot be unmounted: fusermount3 is missing, install the package fuse3")
    done = subprocess.run([fusermount, *options, "--", path], capture_output=True)  # noqa: S603
    if done.returncode != 0:
        said = printable(done.stderr.strip())
        raise MountError(f"{path} cannot be unmounted: {said or 'fusermount3 failed'}")


def _umount(path: str, flags: int) -> int:
    """Returns an errno, or 0. Source: umount(2)."""
    return 0 if libc.umount2(os.fsencode(path), flags) == 0 else last_error().errno or errno.EINVAL


def _as_it_is_now(mount: Mount) -> Mount | None:
    same = (mount.number, mount.device, mount.source)  # the kernel gives both numbers again to the next mount
    return next((found for found in list_mounts() if (found.number, found.device, found.source) == same), None)


def real_path(mountpoint: str) -> str:
    """The absolute path without links, without looking at the mount point itself, which may be dead or hang.

    Raises: MountError for root, if a link that another user can change is on the path.
    """
    path = os.path.abspath(mountpoint)
    for _ in range(_MAX_LINKS):
        folder, name = os.path.split(path)
        folder = _real_folder(folder, mountpoint)
        path = os.path.join(folder, name)
        try:
            target = os.readlink(path)
        except OSError:  # no link; not there; or a dead mount
            return path
        if changeable_by_others(folder) is not None:
            raise _theirs(mountpoint, path)
        path = os.path.abspath(os.path.join(folder, target))
    return path


def _real_folder(folder: str, mountpoint: str) -> str:
    try:
        fd = open_folder(folder)
    except OSError as error:
        if error.errno == errno.EPERM:
            raise _theirs(mountpoint, error.filename) from None
        return os.path.realpath(folder)  # without the right to look, or nothing is there
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _theirs(mountpoint: str, link: str) -> MountError:
    return MountError(
        f"mount point {mountpoint} leads through {link}, a link that other users can change: name the folder that it"
        " leads to"
    )
