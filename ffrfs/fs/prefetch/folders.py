"""Listing folders ahead: a listing brings the kernel 195 names a request, a LOOKUP one.

The prefetching process lists them through the mount, as any program would. It answers no request, so it may wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ffrfs.format.index import Index
from ffrfs.fs.threads import Threads

__all__ = ["FolderLister"]

_INODE_BYTES = 1100  # of the kernel's memory
_MEMORY_SHARE = 16  # of which one part may go to names that were listed ahead


class FolderLister:
    """Args: index; mountpoint, where the mount is, and device, its st_dev; forgotten, tells how many inodes the kernel
    has forgotten so far; listed, called after each folder."""

    def __init__(
        self, index: Index, mountpoint: bytes, device: int, forgotten: Callable[[], int], listed: Callable[[], None]
    ) -> None:
        self._index, self._mountpoint, self._device = index, mountpoint, device
        self._forgotten, self._done = forgotten, listed
        memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self._max_names = memory_bytes // _MEMORY_SHARE // _INODE_BYTES
        self._names = 0
        self._threads = Threads(1, "list")

    def submit(self, folder: int) -> None:
        """Have a folder listed, unless the kernel would have to keep too many names."""
        names = len(self._index.children(folder))
        if self._names - self._forgotten() + names <= self._max_names:
            self._names += names
            self._threads.submit(self._list, folder)

    def _list(self, folder: int) -> None:
        path = os.path.join(self._mountpoint, self._index.path(folder))
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(fd).st_dev == self._device:  # else something is mounted over it
                    with os.scandir(fd) as names:
                        for _ in names:
                            pass
                    self._done()
            finally:
                os.close(fd)
        except OSError:
            pass  # it was unmounted, or moved
