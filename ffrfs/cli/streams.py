"""Standard streams that were closed when the program started, as by some supervisors, `ssh -n` and `>&-`."""

from __future__ import annotations

import os
import sys

__all__ = ["open_missing_streams"]

# What reading from or writing to each fails with stays EBADF for the first two; nobody is left to tell of errors.
_MODES = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)


def open_missing_streams() -> None:
    """Put something in the place of those that are closed: otherwise the next file opened, an archive perhaps, gets
    the number of a standard stream, and is closed or written to as one."""
    for fd, mode in enumerate(_MODES):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)  # gets the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the length of the program
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
