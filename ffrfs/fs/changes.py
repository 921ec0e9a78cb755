"""Noticing that an archive is written to while it is mounted, so that what was checked before is not trusted any more.

The usual way to bring a new version, a new file under the old name, does not touch a mount. But `cp new.ffr old.ffr`
writes into the very file that is being served. Then every record is checked anew, against the header that the mount
was made with: files that are still the same are served, the others give an error, and there is never a mixture.
"""

from __future__ import annotations

import ctypes
import logging
import struct
import threading

from ffrfs.archive.shards import Shards
from ffrfs.format.records import Records
from ffrfs.fs.state import SharedState

__all__ = ["ChangeWatch", "Version"]

logger = logging.getLogger(__name__)

Version = tuple[int, ...]  # of a shard: size, mtime in seconds and nanoseconds

# From linux/stat.h and linux/fcntl.h.
_AT_EMPTY_PATH, _AT_STATX_DONT_SYNC = 0x1000, 0x4000  # the latter: what the kernel knows, without asking a server
_STATX_SIZE_AND_MTIME = 0x200 | 0x40
_STATX_BYTES = 256
_SIZE_AT = 40
_SIZE_AND_MTIME = struct.Struct("Q64xqI")

_statx = ctypes.CDLL(None, use_errno=True).statx
_statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]


class _Answer(threading.local):
    """Where the kernel writes, for each thread."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(_STATX_BYTES)


class ChangeWatch:
    """The versions of the shards that this process has seen.

    Args: shards, records, the archive; state, where all processes note what they have checked.
    Used so: take `known[shard]`, read, and use the bytes only if `unchanged(shard, what was taken)`.
    """

    def __init__(self, shards: Shards, records: Records, state: SharedState) -> None:
        self._shards, self._records, self._state = shards, records, state
        self._answer = _Answer()
        self.known = [self._version(shard) for shard in range(len(shards.paths))]

    def unchanged(self, shard: int, version: Version) -> bool:
        """Whether the shard still has the version; if not, nothing in it counts as checked any longer.

        Never waits for storage. Cost: one system call.
        """
        now = self._version(shard)
        if now == version:
            return True
        if now != self.known[shard]:
            logger.warning("%s was changed while it is mounted: its files are checked anew", self._shards.paths[shard])
        self.known[shard] = now
        first, end = self._records.first[shard], self._records.first[shard + 1]
        self._state.checked[first:end] = bytes(end - first)
        return False

    def _version(self, shard: int) -> Version:
        buffer = self._answer.buffer
        fd, flags = self._shards.descriptors[shard], _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
        if _statx(fd, b"", flags, _STATX_SIZE_AND_MTIME, buffer) != 0:
            return (-1, ctypes.get_errno())
        return _SIZE_AND_MTIME.unpack_from(buffer, _SIZE_AT)
