"""The pipe from the workers of a mount to the prefetching process: packets of numbers, of which some may be lost."""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
from array import array
from collections.abc import Iterable, Iterator

__all__ = ["Kind", "Packets"]

_PACKET_BYTES = 4096  # what a pipe takes atomically, and a packet of a pipe in packet mode
_PIPE_BYTES = 1 << 20  # a page for each packet


class Kind(enum.IntEnum):
    """The first number of a packet, and what the others are."""

    HINT = 0  # a user's id, and inodes
    RUN = 1  # the record at which the reader of a run is
    WAKE = 2  # nothing: as many marks were passed as the prefetcher waited for
    LIST = 3  # the inode of a folder in which many names are looked up


class Packets:
    """Made before the fork: the workers `send`, the prefetcher receives."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_DIRECT)  # O_DIRECT: a pipe of packets
        os.set_blocking(self._writer, False)
        with contextlib.suppress(PermissionError):  # beyond the user's share of pipe memory: it stays as it is
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def send(self, kind: Kind, numbers: Iterable[int] = ()) -> None:
        """Send a packet, unless the prefetcher has more than it can do, or is being restarted."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._writer, array("I", [kind, *numbers]).tobytes())

    def receive(self) -> Iterator[tuple[Kind, list[int]]]:
        """All packets, as they come."""
        while packet := os.read(self._reader, _PACKET_BYTES):
            kind, *numbers = array("I", packet)
            yield Kind(kind), numbers
