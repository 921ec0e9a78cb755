"""Storage that fails or hangs on demand: a FUSE mirror of a folder whose reads do what a control file says.

    python -m tests.support.faulty_storage FOLDER MOUNTPOINT CONTROL

CONTROL is one JSON object: {"mode": "ok" | "eio" | "hang", "begin": …, "end": …}; the mode is that of READs that touch
the bytes [begin, end) of any file. A hanging READ is answered as soon as the mode is another. Tests use `Storage`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyfuse3
import trio

from benchmarks.slowfs import Link, SlowMirror, serve
from tests.support.processes import wait_until

_LOOK_AGAIN_SECONDS = 0.02


class FaultyMirror(SlowMirror):
    """The mirror. Args: control, the path of the control file."""

    def __init__(self, folder: Path, control: Path) -> None:
        super().__init__(folder, Link(0, float("inf")))
        self._control = control

    def _mode(self, begin: int, end: int) -> str:
        order = json.loads(self._control.read_text())
        return str(order["mode"]) if begin < order["end"] and order["begin"] < end else "ok"

    async def read(self, fh, off, size):
        while (mode := self._mode(off, off + size)) == "hang":
            await trio.sleep(_LOOK_AGAIN_SECONDS)
        if mode == "eio":
            raise pyfuse3.FUSEError(errno.EIO)
        return os.pread(fh, size, off)


class Storage:
    """Such storage, mounted. Attributes: path, where the folder's files are seen."""

    def __init__(self, path: Path, control: Path) -> None:
        self.path, self._control = path, control

    def set(self, mode: str, begin: int = 0, end: int = 1 << 62) -> None:
        """Change what reads of the bytes [begin, end) do: "ok", "eio" or "hang"."""
        new = self._control.with_suffix(".new")
        new.write_text(json.dumps({"mode": mode, "begin": begin, "end": end}))
        new.rename(self._control)


@contextlib.contextmanager
def faulty_storage(folder: Path, base: Path) -> Iterator[Storage]:
    """Mount a mirror of a folder. Args: base, where mount point and control file are made."""
    path, control = base / "storage", base / "control"
    path.mkdir()
    storage = Storage(path, control)
    storage.set("ok")
    process = subprocess.Popen([sys.executable, "-m", "tests.support.faulty_storage", folder, path, control])
    try:
        wait_until(lambda: os.path.ismount(path) or process.poll() is not None, "the storage is mounted", 60)
        assert process.poll() is None, "the storage has ended"
        yield storage
    finally:
        storage.set("eio")
        process.kill()
        process.wait()
        subprocess.run(["fusermount3", "-uz", path], check=False, capture_output=True)


if __name__ == "__main__":
    trio.run(serve, FaultyMirror(Path(sys.argv[1]), Path(sys.argv[3])), Path(sys.argv[2]))
