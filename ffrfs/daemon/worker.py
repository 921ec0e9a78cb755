"""What a process of a mount does first, and how a worker serves."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from ffrfs.fs.server import Server
from ffrfs.fuse.channel import SessionEnded
from ffrfs.linux.libc import libc
from ffrfs.linux.processes import end_with_parent

__all__ = ["SESSION_ENDED", "begin_process", "run_worker"]

SESSION_ENDED = 10  # exit status: the mount was unmounted, or its connection aborted
_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 1 << 17
_SWITCH_INTERVAL_SECONDS = 0.0005  # a thread whose data has come should not wait longer for the interpreter


def run_worker(server: Server) -> int:
    """Answer requests until the mount has ended; returns the exit status. SIGTERM ends it at any time: it holds
    nothing."""
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    with contextlib.suppress(SessionEnded):
        server.serve()
    return SESSION_ENDED


def begin_process(supervisor_pid: int) -> None:
    """What every process does first after its fork: signals as a new process has them, a session of its own, so that
    no key in the terminal of who mounted stops it, and an end with the supervisor, without which nobody would restart
    it and nobody could stop it."""
    begin_outliving_process()
    end_with_parent(supervisor_pid, signal.SIGKILL)  # SIGTERM would wait for storage that hangs


def begin_outliving_process() -> None:
    """The same, without the end."""
    os.setsid()
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    for default in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(default, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _give_memory_back()


def _give_memory_back() -> None:
    """Have malloc return large blocks to the kernel when they are freed. By itself glibc keeps for each thread nearly
    as much as it ever had, and so a process with many threads grows for hours. Source: mallopt(3)."""
    with contextlib.suppress(AttributeError):  # another libc
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
