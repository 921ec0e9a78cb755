"""The kernel's control files of FUSE connections, also where they are mounted nowhere."""

from __future__ import annotations

import os

from ffrfs.linux.libc import libc

__all__ = ["Waiting", "open_abort"]

_CONNECTIONS = "/sys/fs/fuse/connections"
# From linux/mount.h and the table of system calls, the same on all architectures. Since Linux 5.2.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6


def open_abort(connection: int) -> int | None:
    """A descriptor by which one connection can be aborted: write anything to it. It stays that connection's, whatever
    has its number later.

    Returns: None where this process has no right to that.
    """
    return _open(connection, "abort", os.O_WRONLY)


class Waiting:
    """How many requests of a connection have no answer yet. Args: connection, its number."""

    def __init__(self, connection: int) -> None:
        self._place = _open(connection, "waiting", os.O_RDONLY)

    def number(self) -> int:
        """How many; 0 where this process has no right to know, or the connection has ended."""
        if self._place is None:
            return 0
        try:
            # The file gives its number once to each who opens it.
            with open(f"/proc/self/fd/{self._place}", "rb") as file:
                return int(file.read(32) or 0)
        except (OSError, ValueError):
            return 0


def _open(connection: int, name: str, flags: int) -> int | None:
    flags |= os.O_CLOEXEC
    try:
        return os.open(f"{_CONNECTIONS}/{connection}/{name}", flags)
    except OSError:
        pass
    folder = _mount_privately()
    if folder is None:
        return None
    try:
        return os.open(f"{connection}/{name}", flags, dir_fd=folder)
    except OSError:
        return None
    finally:
        os.close(folder)


def _mount_privately() -> int | None:
    """The folder of a mount of fusectl that is in no mount namespace, so that nobody sees it and it keeps no other."""
    syscall = libc.syscall
    context = syscall(_FSOPEN, b"fusectl", _FSOPEN_CLOEXEC)
    if context < 0:
        return None
    try:
        if syscall(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0) < 0:
            return None
        folder = syscall(_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
        return folder if folder >= 0 else None
    finally:
        os.close(context)
