"""Requests that may have killed a worker. Without this, one that does would be sent to the next, and so on for ever.

What a dead worker had in hand is suspect. The kernel sends it again with all the rest, and the worker that receives a
suspect hands it to the supervisor, which starts a process for it alone. A request that has killed three such processes
is answered with EIO, by the supervisor; the others were innocent.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable

from ffrfs.fs.hands import Hands
from ffrfs.fuse.channel import Channel
from ffrfs.fuse.wire import HEADER_BYTES, RESENT, request_header

__all__ = ["Suspect", "Suspects"]

logger = logging.getLogger(__name__)

_MAX_DEATHS = 3
_MAX_ALONE = 16  # processes for suspects at once
_REQUEST_BYTES = HEADER_BYTES + 4096  # the rest of a longer one, a WRITE, is not looked at


class Suspect:
    """A request that is answered alone.

    Attributes: deaths, of it alone; came_again, whether the kernel has sent it once more meanwhile.
    """

    __slots__ = ("came_again", "deaths", "request")

    def __init__(self, request: bytes) -> None:
        self.request, self.deaths, self.came_again = request, 0, False


class Suspects:
    """Args: hands, of the workers; channel, of the session; poisoned, called for each request that is found to kill."""

    def __init__(self, hands: Hands, channel: Channel, poisoned: Callable[[], None]) -> None:
        self._hands, self._channel, self._poisoned = hands, channel, poisoned
        # Not a pipe: that would take 16 requests from an ordinary user.
        self._receiver, self._sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._receiver.setblocking(False)
        self._alone: dict[int, Suspect] = {}  # by process id
        self._again: list[Suspect] = []

    def close(self) -> None:
        """Close the sockets."""
        self._receiver.close()
        self._sender.close()

    def pass_on(self, request: memoryview) -> None:
        """Hand a suspect to the supervisor; called by workers."""
        self._sender.send(request[:_REQUEST_BYTES])

    def worker_died(self, worker: int) -> None:
        """What the worker had in hand is suspect."""
        for unique in self._hands.take_from(worker):
            self._hands.suspect(unique)

    def socket(self) -> socket.socket | None:
        """What becomes readable when there is a suspect to start a process for; None while there are enough."""
        return self._receiver if len(self._alone) < _MAX_ALONE else None

    def to_try(self) -> list[Suspect]:
        """Suspects for each of which a process is to be started now."""
        ready, self._again = self._again, []
        while len(self._alone) + len(ready) < _MAX_ALONE:
            try:
                request = _whole(self._receiver.recv(_REQUEST_BYTES))
            except BlockingIOError:
                break
            same = [known for known in (*self._alone.values(), *ready) if _number(known.request) == _number(request)]
            if same:
                same[0].came_again = True
            else:
                ready.append(Suspect(request))
        return ready

    def started(self, pid: int, suspect: Suspect) -> None:
        """A process was started for it."""
        self._alone[pid] = suspect

    def ended(self, pid: int, status: int) -> bool:
        """A child has ended. Returns: whether it was one for a suspect."""
        suspect = self._alone.pop(pid, None)
        if suspect is None:
            return False
        number = _number(suspect.request)
        if status == 0 and suspect.came_again:
            # The kernel had it back in its queue when the answer came, perhaps.
            suspect.came_again, suspect.deaths = False, 0
            self._again.append(suspect)
        elif status == 0:
            self._hands.acquit(number)
        else:
            self._count_death(suspect, number, status)
        return True

    def _count_death(self, suspect: Suspect, number: int, status: int) -> None:
        suspect.deaths += 1
        if suspect.deaths < _MAX_DEATHS:
            logger.warning("a process for one request ended with status %d; starting another", status)
            self._again.append(suspect)
            return
        opcode, _, inode, uid = request_header(memoryview(suspect.request))
        logger.error(
            "request %d of user %d on inode %d has killed %d processes: answered with EIO", opcode, uid, inode,
            suspect.deaths,
        )  # fmt: skip
        for unique in (number, number | RESENT):
            self._channel.reply(unique, error=errno.EIO)
        self._hands.acquit(number)
        self._poisoned()


def _whole(request: bytes) -> bytes:
    """A request that may be cut short, as one that is not."""
    return len(request).to_bytes(4, "little") + request[4:]


def _number(request: bytes) -> int:
    return request_header(memoryview(request))[1] & ~RESENT
