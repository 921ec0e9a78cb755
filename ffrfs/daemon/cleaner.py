"""A process beside a daemon that removes its mount if the daemon is killed before it has announced it.

It is in a session of its own, so what ends the daemon's process group does not end it.
"""

from __future__ import annotations

import contextlib
import os
import select
import time

from ffrfs.errors import FfrfsError
from ffrfs.mount.mountpoint import find_mount, unmount_made
from ffrfs.mount.probe import State, probe

__all__ = ["Cleaner"]

_LOOK_SECONDS = 2.0  # a fusermount3 of the dead daemon may still be mounting
_BETWEEN_SECONDS = 0.05
_PARENT_SECONDS = 1.0  # between two looks whether the daemon still lives, for kernels that cannot tell


class Cleaner:
    """Forked by the daemon before it mounts; it knows nothing of FUSE, so it keeps no mount alive.

    Args: mountpoint, where nothing is mounted yet; close, descriptors that it must not keep.
    """

    def __init__(self, mountpoint: str, *close: int) -> None:
        reader, self._writer = os.pipe2(os.O_CLOEXEC)
        daemon = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            with contextlib.suppress(BaseException):
                os.setsid()
                os.chdir("/")
                for fd in (*close, self._writer):
                    os.close(fd)
                if _has_died(daemon, reader):
                    _clean(mountpoint)
            os._exit(0)
        os.close(reader)

    def dismiss(self) -> None:
        """Let it end, and wait for that: whatever comes is no beginning any more."""
        if self._writer >= 0:
            with contextlib.suppress(OSError):
                os.write(self._writer, b"\0")
            os.close(self._writer)
            self._writer = -1
            with contextlib.suppress(ChildProcessError):  # the supervisor has taken its status
                os.waitpid(self._pid, 0)


def _has_died(daemon: int, dismissed: int) -> bool:
    """Wait for either; the daemon's children may have its end of the pipe, so its process is watched."""
    watched = [dismissed]
    with contextlib.suppress(OSError):  # it is dead already, or Linux is older than 5.3
        watched.append(os.pidfd_open(daemon))
    while os.getppid() == daemon:
        if dismissed in select.select(watched, [], [], _PARENT_SECONDS)[0]:
            break
    return not (select.select([dismissed], [], [], 0)[0] and os.read(dismissed, 1))


def _clean(mountpoint: str) -> None:
    deadline = time.monotonic() + _LOOK_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(FfrfsError):
            mount = find_mount(mountpoint)
            if mount is not None and probe(mount) is State.DEAD:
                unmount_made(mount)
        time.sleep(_BETWEEN_SECONDS)
