"""Asking a mount whether it answers, without ever waiting for one that does not."""

from __future__ import annotations

import contextlib
import enum
import os
import select
import signal
import time
from collections.abc import Sequence

from ffrfs.mount.mountpoint import DEAD_ERRNOS, Mount

__all__ = ["State", "probe", "probe_all"]

_ANSWERED, _DEAD, _REFUSED = range(3)
_AT_ONCE = 64


class State(enum.Enum):
    """How a mount is; the value is the word for it in tables."""

    ALIVE = "alive"
    DEAD = "dead"
    HANGING = "does not answer"
    REFUSED = "its owner's only"


def probe(mount: Mount, seconds: float = 5.0) -> State:
    """How one mount is, as `probe_all` finds out."""
    return probe_all([mount], seconds)[0]


def probe_all(mounts: Sequence[Mount], seconds: float = 5.0) -> list[State]:
    """Ask mounts for what `df` shows, each in a child process that can be left behind; root asks in the owner's name.

    Args: seconds, how long a living mount may take. Cost: that long at most for each `_AT_ONCE` mounts.
    """
    states = []
    for begin in range(0, len(mounts), _AT_ONCE):
        with contextlib.ExitStack() as questions:
            asked = [questions.enter_context(_Question(mount)) for mount in mounts[begin : begin + _AT_ONCE]]
            deadline = time.monotonic() + seconds
            states += [question.answer(deadline) for question in asked]
    return states


class _Question:
    """One mount that is being asked; the block's end leaves a child without an answer behind."""

    def __init__(self, mount: Mount) -> None:
        self._child = os.fork()
        if self._child == 0:
            os._exit(_ask(mount))
        self._ended = os.pidfd_open(self._child)

    def __enter__(self) -> _Question:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child:
            os.kill(self._child, signal.SIGKILL)  # ends it as soon as the kernel lets go of it; init reaps it after us
        os.close(self._ended)

    def answer(self, deadline: float) -> State:
        """Wait until this time, of `time.monotonic`."""
        poll = select.poll()  # knows no largest descriptor, as select does
        poll.register(self._ended, select.POLLIN)
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            return State.HANGING
        status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        self._child = 0
        return {_ANSWERED: State.ALIVE, _REFUSED: State.REFUSED}.get(status, State.DEAD)


def _ask(mount: Mount) -> int:
    try:
        if os.geteuid() == 0 and mount.owner_uid != 0 and not mount.allow_other:
            # Without allow_other the kernel refuses everybody else, root included.
            os.setgroups([])
            os.setresgid(*[mount.owner_gid] * 3)
            os.setresuid(*[mount.owner_uid] * 3)
        os.stat(mount.mountpoint)  # is refused to those who may not look
        os.statvfs(mount.mountpoint)  # is asked each time, whereas the kernel keeps the answer to stat
    except OSError as error:
        return _DEAD if error.errno in DEAD_ERRNOS else _REFUSED
    return _ANSWERED
