"""Single keys from the terminal, for commands that show something until one is pressed."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator

__all__ = ["keys_pressed"]


@contextlib.contextmanager
def keys_pressed() -> Iterator[Callable[[float], str]]:
    """Yields a function that waits so many seconds for a key and returns it, or "" if none came.

    Keys come without Enter and are not shown. Where standard input is no terminal, the function just waits.
    """
    if not sys.stdin.isatty():

        def wait(seconds: float) -> str:
            time.sleep(seconds)
            return ""

        yield wait
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def key_within(seconds: float) -> str:
        ready, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 1).decode("latin-1") if ready else ""

    tty.setcbreak(terminal)
    try:
        yield key_within
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
