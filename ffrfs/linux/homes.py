"""Where a user's own files belong, if there is such a place. Source: XDG Base Directory Specification."""

from __future__ import annotations

import os

__all__ = ["cache_folder", "state_folder"]


def cache_folder() -> str | None:
    """The folder of ffrfs for what can be made anew; None for a user without a home."""
    return _folder("XDG_CACHE_HOME", ".cache")


def state_folder() -> str | None:
    """The folder of ffrfs for logs; None for a user without a home."""
    return _folder("XDG_STATE_HOME", ".local/state")


def _folder(variable: str, below_home: str) -> str | None:
    named = os.environ.get(variable, "")
    if os.path.isabs(named):  # the specification has others ignored
        return os.path.join(named, "ffrfs")
    home = os.path.expanduser("~")  # which stays as it is without HOME and without a line in passwd
    return os.path.join(home, below_home, "ffrfs") if os.path.isabs(home) else None
