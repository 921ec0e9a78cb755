"""What tests of several kinds need."""

import os
import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """An empty file system of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this system mounts no tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)
