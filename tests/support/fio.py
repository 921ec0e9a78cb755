"""Files whose every block has a checksum in it, and fio, which reads them in several ways and checks it."""

from __future__ import annotations

import subprocess
from pathlib import Path

BLOCK = "64k"
WAYS = (
    ("--rw=read", "--ioengine=psync"),
    ("--rw=randread", "--ioengine=psync"),
    ("--rw=randread", "--ioengine=mmap"),
    ("--rw=randread", "--ioengine=libaio", "--direct=1", "--iodepth=8"),
)


def write(path: Path, size_bytes: int) -> None:
    """Write such a file."""
    _fio(path, size_bytes, "--rw=write", "--ioengine=psync", "--do_verify=0")


def verify(path: Path, size_bytes: int, way: tuple[str, ...]) -> None:
    """Read and check all of such a file, which is never written to. Args: way, one of `WAYS`."""
    _fio(path, size_bytes, *way, "--readonly", "--verify_fatal=1")


def _fio(path: Path, size_bytes: int, *options: str) -> None:
    job = ["fio", "--name=file", f"--filename={path}", f"--size={size_bytes}", f"--bs={BLOCK}", "--verify=crc32c"]
    job.append("--verify_state_save=0")  # which it would write into the folder of the test run
    done = subprocess.run([*job, *options], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"fio {' '.join(options)}: {done.stdout}{done.stderr}"
