"""Commands as an ordinary user, for tests that run as root."""

from __future__ import annotations

import functools
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534


def as_user(*command: str | os.PathLike[str]) -> list[str]:
    """The command as an ordinary user, who may read everything on disk: checkout, Python and test folders are root's.

    Access to the mounts of others is not a matter of that right, and is refused to this user as to any.
    """
    user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    rights = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return [*user, *rights, *map(os.fspath, command)]


def as_plain_user(*arguments: str | os.PathLike[str]) -> list[str]:
    """Python with these arguments as an ordinary user without any right; skips where no Python is open to users."""
    return [
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        *_python(),
        *map(os.fspath, arguments),
    ]


@functools.cache
def _python() -> list[str]:
    for python in (sys.executable, "/usr/bin/python3"):
        words = ["env", f"PYTHONPATH={':'.join(path or '.' for path in sys.path)}", "HOME=/nonexistent", python]
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        done = subprocess.run([*drop, *words, "-c", "import ffrfs, pyfuse3, trio"], capture_output=True)
        if done.returncode == 0:
            return words
    pytest.skip("ordinary users can execute no Python that has ffrfs here")


def where_users_may_mount(device: Path, script: str) -> list[str]:
    """A shell script as root in a mount namespace of its own, where /dev/fuse is open to all users.

    Args: device, where a device node is made to be put over /dev/fuse.
    """
    os.mknod(device, stat.S_IFCHR, os.makedev(10, 229))
    device.chmod(0o666)
    return ["unshare", "--mount", "sh", "-c", f'mount --bind "$0" /dev/fuse || exit 99; {script}', str(device)]
