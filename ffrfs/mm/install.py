"""Puts a .pth file into an environment, so that the backend is known in each of its processes without a line of config.

Python runs the line of a .pth file whenever it starts. This one puts the finder of `at_import` in place; whatever it
costs is paid by every Python program of the environment, so it imports nothing.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from ffrfs.errors import ConfigError
from ffrfs.linux.atomic import PendingFile
from ffrfs.mm import at_import

__all__ = ["PTH", "install", "pth_text", "remove"]

PTH = "ffrfs-mm.pth"


def install(system: bool = False) -> Path:
    """Write the file. Args: system, whether it may go where there is no virtual environment. Returns: its path.

    Raises: ConfigError without a virtual environment, PermissionError.
    """
    path = _path(system)
    pending = PendingFile(str(path))
    try:
        os.write(pending.fd, pth_text().encode())
        pending.commit()
    finally:
        pending.abort()
    return path


def remove(system: bool = False) -> Path | None:
    """Remove the file. Returns: its path, None if it was not there. Raises: as `install`."""
    path = _path(system)
    try:
        path.unlink()
    except FileNotFoundError:
        return None
    return path


def pth_text() -> str:
    """What is written: one line that runs the module `at_import` in a namespace of its own."""
    source = Path(at_import.__file__).read_text(encoding="utf-8")
    return f"import sys; exec({source!r}, {{'__name__': 'ffrfs_mm_pth'}})\n"


def _path(system: bool) -> Path:
    """Where the file belongs in the environment of the running Python."""
    own = sys.prefix != sys.base_prefix or Path(sys.prefix, "conda-meta").is_dir()
    if not own and not system:
        raise ConfigError(
            f"{sys.executable} belongs to the system, not to a virtual environment; make one, or add --system to have"
            " every Python program of the system declare the backend"
        )
    return Path(sysconfig.get_path("purelib"), PTH)
