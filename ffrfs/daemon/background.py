"""Going to the background: the command waits until the mount answers, or passes on why it does not.

Whatever ends either of the two while the mount begins, there is in the end a mount that was announced, or none. Signals
that end processes wait in the daemon from its first instruction on; the command tells the daemon that it has heard of
the mount, and takes no signal after that; and a cleaner unmounts for a daemon that was killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import select
import signal
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from ffrfs.daemon.cleaner import Cleaner
from ffrfs.errors import FfrfsError, MountError
from ffrfs.mount.mountpoint import find_mount, unmount_made

__all__ = [
    "ENDING",
    "Awaited",
    "Foreground",
    "Launch",
    "daemon_pid",
    "in_background",
    "in_foreground",
    "serve_and_exit",
]

logger = logging.getLogger(__name__)

T = TypeVar("T", bound="Awaited")

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_MESSAGE_BYTES = 1 << 16  # what a pipe takes at once
_GIVING_UP_SECONDS = 5.0


class Foreground:
    """Who started a mount, as far as the mount is concerned: somebody who need not be told anything.

    Args: cleaner, for the time until the mount is ready. Attributes: can_be_succeeded, whether this process is the one
    that the command line started, so that another program can take its place.
    """

    can_be_succeeded = True

    def __init__(self, cleaner: Cleaner | None = None) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # until the supervisor takes them
        self._cleaner = cleaner

    def mounted(self) -> None:
        """The mount is made; processes that serve it start next."""

    def ready(self) -> None:
        """The mount answers. Raises: MountError if it is not wanted any more."""
        if self._cleaner is not None:
            self._cleaner.dismiss()


class Awaited(Foreground):
    """A process that started a mount and waits at the other end of a pipe."""

    can_be_succeeded = False

    def __init__(self, pipe: int, cleaner: Cleaner | None = None) -> None:
        super().__init__(cleaner)
        self._pipe = pipe

    def ready(self) -> None:
        """Let it go on, unless a signal that ends this process has come meanwhile."""
        pending = sorted(signal.sigpending() & set(ENDING))
        if pending:
            raise MountError(f"{signal.Signals(pending[0]).name} came before the mount was ready; it was taken back")
        super().ready()
        self._send(os.getpid())

    def failed(self, error: Exception) -> None:
        """Let it say why; after `ready` nobody listens."""
        if self._pipe >= 0:
            with contextlib.suppress(BrokenPipeError):
                self._send(error)

    def _send(self, message: object) -> None:
        pipe, self._pipe = self._pipe, -1
        try:
            os.write(pipe, pickle.dumps(message))
        finally:
            os.close(pipe)


class Launch(Awaited):
    """The command that started a background mount and is to return.

    Args: pipe, on which it waits; answers, on which it says that it has heard; cleaner, for the time until then;
    shared, whether others may have joined the mount meanwhile, so that it outlives the command in any case.
    """

    def __init__(self, pipe: int, answers: int, cleaner: Cleaner, shared: bool) -> None:
        super().__init__(pipe, cleaner)
        self._answers, self._shared = answers, shared
        if shared:
            os.setsid()

    def mounted(self) -> None:
        """Let go of the terminal and the working folder, before there are workers that would keep them."""
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for stream in range(3):
            os.dup2(null, stream)
        os.close(null)

    def ready(self) -> None:
        """Leave the command's session, and let it return.

        Not earlier: an automount waits for this mount, and lets only the process group of systemd, which the command
        is in, past the mount point until then.
        """
        if not self._shared:
            os.setsid()
        try:
            super().ready()
            heard = os.read(self._answers, 1)
        except BrokenPipeError:
            heard = b""
        if not heard and not self._shared:
            raise MountError("the command that mounted has ended before the mount was ready; it was taken back")
        os.close(self._answers)


def in_foreground(serve: Callable[[Foreground], int], mountpoint: str, is_mounted: bool = False) -> int:
    """Run `serve` in this process.

    Args: is_mounted, whether it is only taken over: a cleaner would keep its connection, and is not needed.
    Returns: its status. Raises: what it raises, with nothing left mounted.
    """
    try:
        return serve(Foreground(None if is_mounted else Cleaner(mountpoint)))
    except BaseException:
        _take_back(mountpoint)
        raise


def in_background(serve: Callable[[Launch], int], mountpoint: str, shared: bool = False) -> int:
    """Run `serve` in a daemon process.

    Args: serve, which tells its argument how far it has come and returns an exit status when the mount has ended;
    mountpoint, where it mounts; shared, as for `Launch`.
    Returns: the daemon's process id, once the mount answers; signals that end processes are blocked from then on, since
    the exit status must be that of a success. Raises: what `serve` raised before that.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    answers, answer = os.pipe2(os.O_CLOEXEC)
    daemon = os.fork()
    if daemon == 0:
        os.close(reader)
        os.close(answer)
        cleaner = Cleaner(mountpoint, answers)
        serve_and_exit(serve, Launch(writer, answers, cleaner, shared), mountpoint)
    os.close(writer)
    os.close(answers)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        select.select([reader], [], [])
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        pid = daemon_pid(reader)
        with contextlib.suppress(BrokenPipeError):  # it has been killed just now, by somebody who meant it
            os.write(answer, b"\0")
        return pid
    except BaseException:
        os.close(answer)
        answer = -1
        _wait_for_end(daemon)
        raise
    finally:
        if answer >= 0:
            os.close(answer)


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


def serve_and_exit(serve: Callable[[T], int], launch: T, mountpoint: str) -> NoReturn:
    """Be the daemon: run `serve`, tell `launch` if it fails, with nothing left mounted, and end with its status."""
    status = 1
    try:
        status = serve(launch)
    except (FfrfsError, OSError) as error:
        logger.error("%s", error)
        _take_back(mountpoint)
        launch.failed(error)
    except BaseException:
        logger.exception("the daemon of a mount ended")
        _take_back(mountpoint)
    finally:
        os._exit(status)


def _take_back(mountpoint: str) -> None:
    """Unmount what this daemon has mounted where nothing was, if it got that far."""
    with contextlib.suppress(FfrfsError, OSError):
        mount = find_mount(mountpoint)
        if mount is not None:
            unmount_made(mount)


def _wait_for_end(daemon: int) -> None:
    """Wait until a daemon that gives up has unmounted, if that does not take long."""
    deadline = time.monotonic() + _GIVING_UP_SECONDS
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline and not os.waitpid(daemon, os.WNOHANG)[0]:
            time.sleep(0.02)
