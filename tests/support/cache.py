"""Throwing data out of page caches, so that reads reach what is below."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

DROP_CACHES = Path("/proc/sys/vm/drop_caches")  # 1: pages of files; 2: names and attributes; 3: both. Root's


def drop(path: Path) -> None:
    """Have the kernel forget the cached data of a file, or of all files below a folder."""
    if path.is_dir():
        for child in path.iterdir():
            drop(child)
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of a mount, which has nothing to write
            os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
