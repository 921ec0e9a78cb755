"""Processes that do not outlive the one that started them."""

from __future__ import annotations

import os
import signal

from ffrfs.linux.libc import libc

__all__ = ["end_with_parent"]

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies, and send it now if it just has.

    Args: parent, the process id of who forked this process. Lasts over exec, not over fork. Source: prctl(2).
    """
    libc.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
