"""Whether this machine can mount, and what to do where it cannot."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest


def why_no_fuse() -> str | None:
    """What is missing for a mount here, or None."""
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if os.geteuid() == 0:
        try:
            os.close(os.open("/dev/fuse", os.O_RDWR))
        except OSError as error:
            return f"/dev/fuse cannot be opened: {error.strerror}"
    missing = [name for name in ("pyfuse3", "trio") if importlib.util.find_spec(name) is None]
    if missing:
        return f"the Python packages {' and '.join(missing)} are missing"
    return None if shutil.which("fusermount3") else "fusermount3 is missing: install the package fuse3"


def require_fuse() -> None:
    """Skip the calling test where nothing can be mounted; fail it where FFRFS_REQUIRE_FUSE=1 promises a mount."""
    reason = why_no_fuse()
    if reason and os.environ.get("FFRFS_REQUIRE_FUSE") == "1":
        pytest.fail(f"FFRFS_REQUIRE_FUSE=1, but nothing can be mounted here: {reason}")
    if reason:
        pytest.skip(f"no mounts here: {reason}")


def require_root() -> None:
    """Skip the calling test for an ordinary user."""
    if os.geteuid() != 0:
        pytest.skip("it acts as several users, and so needs root")
