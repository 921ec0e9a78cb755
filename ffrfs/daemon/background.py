"""Going to the background: the command waits until the mount answers, or passes on why it does not."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable
from typing import NoReturn, TypeVar

from ffrfs.errors import FfrfsError, MountError

__all__ = ["Awaited", "Foreground", "Launch", "daemon_pid", "in_background", "serve_and_exit"]

logger = logging.getLogger(__name__)

T = TypeVar("T", bound="Awaited")

_MESSAGE_BYTES = 1 << 16  # what a pipe takes at once


class Foreground:
    """Who started a mount, as far as the mount is concerned: somebody who need not be told anything."""

    def mounted(self) -> None:
        """The mount is made; processes that serve it start next."""

    def ready(self) -> None:
        """The mount answers."""


class Awaited(Foreground):
    """A process that started a mount and waits at the other end of a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def ready(self) -> None:
        """Let it go on."""
        self._send(os.getpid())

    def failed(self, error: Exception) -> None:
        """Let it say why; after `ready` nobody listens."""
        if self._pipe >= 0:
            self._send(error)

    def _send(self, message: object) -> None:
        os.write(self._pipe, pickle.dumps(message))
        os.close(self._pipe)
        self._pipe = -1


class Launch(Awaited):
    """The command that started a background mount and is to return."""

    def mounted(self) -> None:
        """Let go of the terminal and the working folder, before there are workers that would keep them."""
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        os.close(null)

    def ready(self) -> None:
        """Leave the command's session, and let it return.

        Not earlier: an automount waits for this mount, and lets only the process group of systemd, which the command
        is in, past the mount point until then.
        """
        os.setsid()
        super().ready()


def in_background(serve: Callable[[Launch], int]) -> int:
    """Run `serve` in a daemon process.

    Args: serve, which tells its argument how far it has come and returns an exit status when the mount has ended.
    Returns: the daemon's process id, once the mount answers. Raises: what `serve` raised before that.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        os.close(reader)
        serve_and_exit(serve, Launch(writer))
    os.close(writer)
    return daemon_pid(reader)


def daemon_pid(reader: int) -> int:
    """Wait at the other end of an `Awaited`'s pipe, and close it.

    Returns: the process id of the daemon, whose mount answers. Raises: what it raised before that; MountError.
    """
    message = os.read(reader, _MESSAGE_BYTES)  # not to its end: the workers hold the other end too
    os.close(reader)
    if not message:
        raise MountError("the mount daemon ended before the mount answered; its log says why")
    outcome = pickle.loads(message)  # noqa: S301 - from our own child
    if isinstance(outcome, BaseException):
        raise outcome
    return int(outcome)


def serve_and_exit(serve: Callable[[T], int], launch: T) -> NoReturn:
    """Be the daemon: run `serve`, tell `launch` if it fails, and end with its status."""
    status = 1
    try:
        status = serve(launch)
    except (FfrfsError, OSError) as error:
        logger.error("%s", error)
        launch.failed(error)
    except BaseException:
        logger.exception("the daemon of a mount ended")
    finally:
        os._exit(status)
