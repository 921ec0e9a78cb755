"""What is done for requests that a dead worker had in hand, where the kernel sends them again (Linux 6.9)."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Callable

from ffrfs.daemon.session import Session
from ffrfs.daemon.suspects import Suspects
from ffrfs.fs.hands import Hand, Hands, Resent
from ffrfs.fuse.channel import Channel
from ffrfs.linux.fusectl import open_abort

__all__ = ["Revival"]

logger = logging.getLogger(__name__)

_RESEND_SECONDS = 10.0  # then nobody can have the requests that were lost
_AGAIN_SECONDS = 0.1


class Revival:
    """Args: session; workers, how many there are; alone, what a process for one request does, which returns its exit
    status; count, called with the name of a counter."""

    def __init__(
        self, session: Session, workers: int, alone: Callable[[bytes], int], count: Callable[[str], None]
    ) -> None:
        self._session, self._channel, self._count = session, Channel(session.fd), count
        self._hands = self.hands = Hands(workers)
        self.workers, self.alone = workers, alone
        self.suspects = Suspects(self._hands, self._channel, lambda: count("poisoned_requests"))

    def for_worker(self, worker: int) -> Resent:
        """How a worker tells resent requests apart."""
        return Resent(self._hands, Hand(self._hands, worker), self.suspects.pass_on)

    def resend(self) -> None:
        """Have the kernel send again what was received and not answered. If it cannot, abort the connection: those
        requests would hang for ever."""
        deadline = time.monotonic() + _RESEND_SECONDS
        while True:
            try:
                self._channel.resend()
                self._count("resends")
                return
            except OSError as error:
                if error.errno in (errno.ENODEV, errno.EPERM):  # the session has ended
                    return
                if time.monotonic() > deadline:
                    logger.error("requests of a dead process cannot be sent again (%s): aborting the connection", error)
                    self.abort()
                    return
            time.sleep(_AGAIN_SECONDS)

    def abort(self) -> None:
        """End the connection: everybody who waits for it gets an error."""
        abort = open_abort(self._session.mount.connection)
        if abort is not None:
            with contextlib.suppress(OSError):
                os.write(abort, b"1")
            os.close(abort)
