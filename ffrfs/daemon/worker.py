"""One worker process of a mount: its own channel to the kernel, and requests until it is told to stop."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import signal
import struct
import sys

import trio

from ffrfs.fs.loop import FuseLoop
from ffrfs.linux.processes import end_with_parent
from ffrfs.mount.device import DEVICE

__all__ = ["SESSION_ENDED", "begin_process", "run_worker"]

logger = logging.getLogger(__name__)

SESSION_ENDED = 10  # exit status: the mount was unmounted, or its connection aborted
_FUSE_DEV_IOC_CLONE = 0x8004E500  # _IOR(229, 0, uint32)
_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 1 << 17
_SWITCH_INTERVAL_SECONDS = 0.0005  # a thread whose data has come should not wait longer for the interpreter


def run_worker(loop: FuseLoop, session_fd: int, supervisor_pid: int, shared: bool) -> int:
    """Answer requests until stopped or unmounted; to be called in a new child process.

    Args: session_fd, the mount's descriptor in libfuse, in whose place a channel of this process is put; shared,
    whether there are other workers, and channels of their own therefore needed.
    Returns: the exit status, 0 if stopped, `SESSION_ENDED` if the connection ended.
    """
    begin_process(supervisor_pid)
    signal.signal(signal.SIGTERM, lambda *_: loop.stop())
    signal.signal(signal.SIGALRM, lambda *_: None)  # its use is to interrupt a receive
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    _clone_channel(session_fd)
    stopped = trio.run(loop.serve, session_fd, shared)
    return 0 if stopped else SESSION_ENDED


def begin_process(supervisor_pid: int) -> None:
    """What every process does first after its fork: signals as a new process has them, a session of its own, so that
    no key in the terminal of who mounted stops it, and an end with the supervisor, without which nobody would restart
    it and nobody could stop it."""
    os.setsid()
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    for default in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(default, signal.SIG_DFL)
    end_with_parent(supervisor_pid, signal.SIGKILL)  # SIGTERM would wait for storage that hangs
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _give_memory_back()


def _give_memory_back() -> None:
    """Have malloc return large blocks to the kernel when they are freed. By itself glibc keeps for each thread nearly
    as much as it ever had, and so a process with many threads grows for hours. Source: mallopt(3)."""
    with contextlib.suppress(AttributeError):  # another libc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _clone_channel(session_fd: int) -> None:
    """Give libfuse a descriptor of its own in this process: if it is killed, only requests it has taken fail."""
    channel = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(channel, _FUSE_DEV_IOC_CLONE, struct.pack("I", session_fd))
    os.dup2(channel, session_fd, inheritable=False)
    os.close(channel)
