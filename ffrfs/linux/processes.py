"""Processes that do not outlive the one that started them, and what the kernel shows of a process."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from ffrfs.linux.libc import libc

__all__ = ["ThreadState", "end_with_parent", "main_thread"]

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies, and send it now if it just has.

    Args: parent, the process id of who forked this process. Lasts over exec, not over fork. Source: prctl(2).
    """
    libc.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


@dataclass(frozen=True, slots=True)
class ThreadState:
    """What a thread does just now.

    Attributes: state, the letter that ps shows; cpu_seconds, that it has used; waits_in, the kernel's function in which
    it sleeps, or empty where the kernel does not say.
    """

    state: str
    cpu_seconds: float
    waits_in: str


def main_thread(pid: int) -> ThreadState | None:
    """The first thread of a process, None if it has ended. Source: proc_pid_stat(5)."""
    folder = Path(f"/proc/{pid}/task/{pid}")
    waits_in = ""
    try:
        fields = (folder / "stat").read_text(errors="replace").rpartition(") ")[2].split()
        with contextlib.suppress(PermissionError):
            waits_in = (folder / "wchan").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    ticks = int(fields[11]) + int(fields[12])
    return ThreadState(fields[0], ticks / os.sysconf("SC_CLK_TCK"), waits_in)
