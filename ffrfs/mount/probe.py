"""Asking a mount whether it answers, without ever waiting for one that does not."""

from __future__ import annotations

import enum
import os
import select
import signal

from ffrfs.mount.mountpoint import DEAD_ERRNOS, Mount

__all__ = ["State", "probe"]

_ANSWERED, _DEAD, _REFUSED = range(3)


class State(enum.Enum):
    """How a mount is; the value is the word for it in tables."""

    ALIVE = "alive"
    DEAD = "dead"
    HANGING = "does not answer"
    REFUSED = "its owner's only"


def probe(mount: Mount, seconds: float = 5.0) -> State:
    """Ask a mount for what `df` shows, in a child process that can be left behind; root asks in the owner's name.

    Args: seconds, how long a living mount may take.
    """
    child = os.fork()
    if child == 0:
        os._exit(_ask(mount))
    ended = os.pidfd_open(child)
    try:
        if not select.select([ended], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)  # ends it as soon as the kernel lets go of it; init reaps it after us
            return State.HANGING
    finally:
        os.close(ended)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
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
