"""The process that ends a mount whose supervisor was killed.

The other processes die with the supervisor, and with the last of them the connection ends, so that readers get an
error. But one that waits in the kernel, for hanging storage or for a page to put data into, keeps its descriptor:
nobody serves any longer, and all readers hang, and with them whatever waits for their pages. This process has no
descriptor of the session; when the supervisor has gone, it aborts the connection, unless systemd keeps that and another
daemon takes it up in time.
"""

from __future__ import annotations

import contextlib
import os
import select
import time

from ffrfs.daemon.takeover import is_taken_up_within
from ffrfs.linux.fusectl import open_abort

__all__ = ["guard"]

_LOOK_SECONDS = 1.0
_TAKEOVER_SECONDS = 60.0  # for systemd to start the next daemon


def guard(session_fd: int, connection: int, supervisor_pid: int, description_fd: int | None) -> int:
    """Wait for the supervisor's death, and abort the connection then.

    Args: session_fd, of the mount, which is closed; connection, its number; description_fd, of a mount that systemd
    keeps, or None. Returns: the exit status.
    """
    os.close(session_fd)
    abort = open_abort(connection)
    with contextlib.suppress(OSError):  # it is dead already, or Linux is older than 5.3
        supervisor = os.pidfd_open(supervisor_pid)
        if os.getppid() == supervisor_pid:
            select.select([supervisor], [], [])
    while os.getppid() == supervisor_pid:
        time.sleep(_LOOK_SECONDS)
    if description_fd is not None and is_taken_up_within(description_fd, _TAKEOVER_SECONDS):
        return 0
    if abort is not None:
        with contextlib.suppress(OSError):  # it has ended by itself
            os.write(abort, b"1")
    return 0
