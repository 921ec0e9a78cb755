"""Storage with latency, real and repeatable: a read-only FUSE mirror of a folder whose every read takes its time.

    python -m benchmarks.slowfs FOLDER MOUNTPOINT --ms 5 --mb-per-s 1000

Each READ is answered `--ms` milliseconds after it came, however many are under way, as by a disk array or a network:
N reads at once take one delay. `--mb-per-s` is the width of the one link that they share. Files are opened with
direct_io, so the kernel keeps none of the data and each read of a program reaches the delay; one read of more than
1 MiB comes as several, one after the other. Names and attributes are not delayed. Stays in the foreground until
SIGTERM, SIGINT or umount.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
from pathlib import Path

import pyfuse3
import trio
from pyfuse3 import (
    EntryAttributes,
    FileHandleT,
    FileInfo,
    FileNameT,
    FlagT,
    InodeT,
    ReaddirToken,
    RequestContext,
)

PARALLEL_READS = 256
FOREVER_S = 1e6


class Link:
    """The time at which a read's bytes are all here, for reads that share one line of limited width."""

    def __init__(self, latency_s: float, bytes_per_s: float) -> None:
        self.latency_s, self.bytes_per_s = latency_s, bytes_per_s
        self._free_at_s = 0.0

    def arrival(self, size_bytes: int) -> float:
        """Take the line's next free stretch for a read that begins now; returns the trio time of its end."""
        now_s = trio.current_time()
        self._free_at_s = max(now_s, self._free_at_s) + size_bytes / self.bytes_per_s
        return max(now_s + self.latency_s, self._free_at_s)


class SlowMirror(pyfuse3.Operations):
    """The tree below `folder`; inodes are numbers given out at lookup, file handles are descriptors."""

    def __init__(self, folder: Path, link: Link) -> None:
        super().__init__()
        self._link = link
        self._paths = {pyfuse3.ROOT_INODE: os.fsencode(folder)}
        self._inodes: dict[bytes, int] = {}

    def _entry(self, path: bytes) -> EntryAttributes:
        try:
            found = os.lstat(path)
        except OSError as error:
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from None
        inode = self._inodes.setdefault(path, len(self._inodes) + 2)
        self._paths[inode] = path
        return self._attributes(inode, found)

    @staticmethod
    def _attributes(inode: int, found: os.stat_result) -> EntryAttributes:
        entry = EntryAttributes()
        for name in ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_atime_ns", "st_mtime_ns", "st_ctime_ns"):
            setattr(entry, name, getattr(found, name))
        entry.st_ino, entry.entry_timeout, entry.attr_timeout = inode, FOREVER_S, FOREVER_S
        return entry

    async def getattr(self, inode: InodeT, ctx: RequestContext | None = None) -> EntryAttributes:
        return self._attributes(inode, os.lstat(self._paths[inode]))

    async def lookup(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext | None = None) -> EntryAttributes:
        return self._entry(os.path.join(self._paths[parent_inode], name))

    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        return FileHandleT(inode)

    async def readdir(self, fh: FileHandleT, start_id: int, token: ReaddirToken) -> None:
        names = sorted(os.listdir(self._paths[fh]))
        for position, name in enumerate(names[start_id:], start_id + 1):
            if not pyfuse3.readdir_reply(token, name, self._entry(os.path.join(self._paths[fh], name)), position):
                return

    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        return FileInfo(fh=FileHandleT(os.open(self._paths[inode], os.O_RDONLY)), direct_io=True)

    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        data = os.pread(fh, size, off)
        await trio.sleep_until(self._link.arrival(len(data)))
        return data

    async def release(self, fh: FileHandleT) -> None:
        os.close(fh)


async def serve(mirror: SlowMirror, mountpoint: Path) -> None:
    """Mount and answer until a signal comes or the mount is gone."""
    options = {*pyfuse3.default_options, "fsname=slowfs", "subtype=slowfs", "ro", "allow_other"}
    pyfuse3.init(mirror, str(mountpoint), options)

    async def stop_at_signal() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_at_signal)
            await pyfuse3.main(max_tasks=PARALLEL_READS)
            nursery.cancel_scope.cancel()
    finally:
        pyfuse3.close(unmount=True)


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slowfs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("--ms", type=float, default=5, help="delay of each read, milliseconds (%(default)s)")
    parser.add_argument("--mb-per-s", type=float, default=float("inf"), help="shared bandwidth, MB/s (no limit)")
    arguments = parser.parse_args()
    link = Link(arguments.ms / 1e3, arguments.mb_per_s * 1e6)
    trio.run(serve, SlowMirror(arguments.folder.resolve(), link), arguments.mountpoint)


if __name__ == "__main__":
    main()
