"""The C library, loaded in one place, for the system calls that Python has no function for.

May be used by any thread and after a fork.
"""

from __future__ import annotations

import ctypes
import os

__all__ = ["last_error", "libc"]

libc = ctypes.CDLL(None, use_errno=True)
"""The functions of the C library that this process already has. Integers and bytes need no declaration; a function
that takes pointers or 64-bit integers is declared (`argtypes`) by the module that calls it."""


def last_error(path: str | bytes | None = None) -> OSError:
    """The error of the call to `libc` that this thread made last, to be raised when its result says that it failed.

    Args: path, what the call was about, as the error's `filename`.
    """
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number)) if path is None else OSError(number, os.strerror(number), path)
