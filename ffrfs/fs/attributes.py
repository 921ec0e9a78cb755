"""The attributes of files and folders, as FUSE wants them: the fields of struct fuse_attr. No I/O."""

from __future__ import annotations

import stat
import time

from ffrfs.format.index import Index
from ffrfs.fs.options import TreeOptions

__all__ = ["BLOCK_BYTES", "FOREVER_SECONDS", "Attributes"]

FOREVER_SECONDS = 10**9  # the archive never changes under a mount
BLOCK_BYTES = 4096
_SECTOR_BITS = 9  # st_blocks counts 512 bytes
_NS = 10**9

Attr = tuple[int, ...]


class Attributes:
    """Args: index, the archive's tree; options, how it looks. Attributes: file_mode, folder_mode; owner, uid and gid;
    time, seconds and nanoseconds."""

    def __init__(self, index: Index, options: TreeOptions) -> None:
        self._index = index
        self.file_mode = stat.S_IFREG | 0o444 & ~options.umask
        self.folder_mode = stat.S_IFDIR | 0o555 & ~options.umask
        self.owner = options.uid, options.gid
        self.time = seconds, ns = divmod(options.mtime_ns, _NS)
        self._times = (seconds, seconds, seconds, ns, ns, ns)
        self._file_end = (self.file_mode, 1, *self.owner, 0, BLOCK_BYTES, 0)
        self._folder_end = (*self.owner, 0, BLOCK_BYTES, 0)

    def of(self, inode: int) -> Attr:
        """The attributes of a file or folder of the archive, which never change. Raises: IndexError."""
        index = self._index
        record = index.record(inode)
        if record < 0:
            return (inode, 0, 0, *self._times, self.folder_mode, index.links(inode), *self._folder_end)
        size = index.records.length(record)
        return (inode, size, (size + 511) >> _SECTOR_BITS, *self._times, *self._file_end)

    def now(self, inode: int, size: int | None) -> Attr:
        """The attributes of a file whose contents are new at any time, or of its folder (size None): a new mtime makes
        the kernel drop what it has of it."""
        seconds, ns = divmod(time.time_ns(), _NS)
        times = (seconds, seconds, seconds, ns, ns, ns)
        if size is None:
            return (inode, 0, 0, *times, self.folder_mode, 2, *self._folder_end)
        return (inode, size, (size + 511) >> _SECTOR_BITS, *times, *self._file_end)
