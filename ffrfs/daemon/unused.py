"""Mounts that end when nobody uses them: of jobs that share one, and with `idle_timeout`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from ffrfs.errors import MountError
from ffrfs.mount.mountpoint import Mount, unmount_unused
from ffrfs.mount.options import MountOptions

__all__ = ["Unused"]

_SHARED_SECONDS, _SHARED_USER_SECONDS = 1.0, 3.0  # for a user, fusermount3 is started each time


class Unused:
    """When to look whether a mount is used, and ending it if not.

    Args: mount; options, that say which of the two it is, if any; activity, a number that grows with each request.
    Attributes: seconds, between two looks; 0 for a mount that stays.
    """

    def __init__(self, mount: Mount, options: MountOptions, activity: Callable[[], int]) -> None:
        self._mount, self._activity = mount, activity
        self._is_root = os.geteuid() == 0
        self._shared = options.shared
        self._seen = -1
        shared_seconds = _SHARED_SECONDS if self._is_root else _SHARED_USER_SECONDS
        self.seconds = shared_seconds if options.shared else options.idle_timeout_s

    def unmount(self) -> bool:
        """Unmount it if it was not used since the look before; returns whether it is unmounted.

        As root the kernel knows whether it was used (MNT_EXPIRE). For a user requests tell, of which what is in the
        page cache needs none, and whether a file or folder is open just now.
        """
        with contextlib.suppress(MountError):
            if self._shared:
                return unmount_unused(self._mount)
            if self._is_root:
                return unmount_unused(self._mount, expire=True)
            before, self._seen = self._seen, self._activity()
            return before == self._seen and unmount_unused(self._mount)
        return False
