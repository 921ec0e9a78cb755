"""Scripts written for HFAiLab/ffrecord, run unchanged: `import ffrecord` then gives this package.

    import ffrfs; ffrfs.install_as_ffrecord()       # before the script's own `from ffrecord import …`
    python -m ffrfs.as_ffrecord script.py …         # or without a change

What they import is the package in the folder `path`, which is put before all others: so it is found in processes that
multiprocessing spawns too, which get `sys.path`. Imports nothing, least of all torch, until the script does.
"""

from __future__ import annotations

import os
import sys

from ffrfs.errors import ConfigError

__all__ = ["install_as_ffrecord"]

_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "path")


def install_as_ffrecord() -> None:
    """Make `import ffrecord` in this process, and in those that it spawns, give this package; harmless a second time.

    Under that name exceptions are also of the kinds that the reference raises: RuntimeError, ValueError for what is no
    packed folder, AssertionError for a path that does not exist.
    Raises: ConfigError if the reference itself has been imported already.
    """
    found = getattr(sys.modules.get("ffrecord"), "__file__", _PATH)
    if found is None or not found.startswith(_PATH):
        raise ConfigError(f"ffrecord is imported already, from {found}: call install_as_ffrecord() before that")
    if _PATH not in sys.path:
        sys.path.insert(0, _PATH)
