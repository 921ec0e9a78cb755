"""Noticing that an archive is written to while it is mounted, so that what was checked before is not trusted any more.

The usual way to bring a new version, a new file under the old name, does not change a mount's files. But
`cp new.ffr old.ffr` writes into the very file that is being served. No time stamp tells when a write has ended: the
kernel sets mtime before the data arrives, and `cp -p` puts it back afterwards, so ctime is looked at too. Once a change
was seen, nothing counts as checked until the archive is mounted again: each record is compared with the header that
the mount was made with whenever it is read.
"""

from __future__ import annotations

import logging
import mmap

from ffrfs.archive.shards import Shards

__all__ = ["ChangeWatch", "Version"]

logger = logging.getLogger(__name__)

Version = tuple[int, ...]  # of a shard, as its source gives it: size, then seconds and nanoseconds of ctime and mtime


class ChangeWatch:
    """Whether the shards are still as they were when they were mounted. Made before the first fork.

    Args: shards, the archive. Used so: where `changed(shard)` is false, read, and use what was checked earlier only if
    `unchanged(shard)` afterwards; where it is true, compare the very bytes that are returned.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._changed = memoryview(mmap.mmap(-1, len(shards.paths)))  # one byte a shard, seen by all processes
        self._mounted = [self._version(shard) for shard in range(len(shards.paths))]

    def changed(self, shard: int) -> bool:
        """Whether some process has seen the shard change. Cost: no system call."""
        return bool(self._changed[shard])

    def unchanged(self, shard: int) -> bool:
        """Whether the shard is as it was when it was mounted. Never waits for storage. Cost: one system call."""
        if self._changed[shard]:
            return False
        now = self._version(shard)
        if now == self._mounted[shard]:
            return True
        # A new ctime alone may be a new name or owner, as for an archive that was replaced by another file.
        before = self._mounted[shard]
        only_ctime = len(now) == len(before) and (now[0], now[3:]) == (before[0], before[3:])
        logger.log(
            logging.INFO if only_ctime else logging.WARNING,
            "%s was changed while it is mounted: each file is checked whenever it is read, until it is mounted again",
            self._shards.paths[shard],
        )
        self._changed[shard] = 1
        return False

    def version(self, shard: int) -> Version:
        """The shard's size and times now."""
        return self._version(shard)

    def _version(self, shard: int) -> Version:
        return self._shards.sources[shard].version()
