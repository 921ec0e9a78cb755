"""What a mount has counted, as text: the hidden folder `.ffrfs` of every mount, with `stats` (JSON) and `metrics`
(Prometheus). It is never listed, so that comparing trees does not see it.

A file's text is made anew at each READ, so its size and the place of each number in it never change.
"""

from __future__ import annotations

import json
import os
import time

from ffrfs.format.index import ROOT_INODE
from ffrfs.format.tree import MAX_NAME_BYTES
from ffrfs.fs.state import SharedState
from ffrfs.version import __version__

__all__ = ["FOLDER_NAME", "OWN_FOLDER_NAME", "TEXT_BYTES", "StatisticsFolder"]

FOLDER_NAME = b".ffrfs"
# For programs: no archive can have a name that long, as it can have `.ffrfs`. The kernel passes on up to 1024 bytes.
OWN_FOLDER_NAME = FOLDER_NAME.ljust(MAX_NAME_BYTES + 1, b"-")
TEXT_BYTES = 65535
_PAGE_BYTES, _NUMBER_BYTES = 4096, 21  # the latter: a blank, and what 64 bits can say
_MAX_LABEL_CHARACTERS = 255
_FOLDER_INODE = 1 << 48  # above all rows of any index
_FILES = {b"stats": _FOLDER_INODE + 1, b"metrics": _FOLDER_INODE + 2}


class StatisticsFolder:
    """The hidden folder.

    Args: state, the counters; archive, mountpoint, workers, files, shared, what the mount is. Made in the supervisor,
    used in the workers.
    """

    def __init__(
        self, state: SharedState, archive: str, mountpoint: str, workers: int, files: int, shared: bool = False
    ) -> None:
        self._state = state
        self._facts = {
            "version": __version__,
            "archive": archive,
            "mountpoint": mountpoint,
            "supervisor_pid": os.getpid(),
            "workers": workers,
            "files": files,
            "shared": shared,
            "started": time.time(),
        }

    def lookup(self, parent: int, name: bytes) -> int:
        """The inode of a name of this folder's, or 0."""
        if parent == ROOT_INODE:
            return _FOLDER_INODE if name in (FOLDER_NAME, OWN_FOLDER_NAME) else 0
        if name == b".":
            return parent if self.has(parent) else 0
        if name == b"..":
            return ROOT_INODE if parent == _FOLDER_INODE else _FOLDER_INODE if self.has(parent) else 0
        return _FILES.get(name, 0) if parent == _FOLDER_INODE else 0

    def has(self, inode: int) -> bool:
        """Whether the inode is the folder or a file in it."""
        return inode == _FOLDER_INODE or inode in _FILES.values()

    def is_folder(self, inode: int) -> bool:
        """Whether the inode is the folder, and not a file in it."""
        return inode == _FOLDER_INODE

    def text(self, inode: int) -> bytes:
        """The text of a file of the folder, always of `TEXT_BYTES` bytes. Raises: FileNotFoundError."""
        text = _FixedText()
        if inode == _FILES[b"stats"]:
            self._write_json(text)
        elif inode == _FILES[b"metrics"]:
            self._write_prometheus(text)
        else:
            raise FileNotFoundError(inode)
        return bytes(text.data).ljust(TEXT_BYTES - 1) + b"\n"

    def _write_json(self, text: _FixedText) -> None:
        text.write(json.dumps(self._facts)[:-1] + ', "counters": {')
        for place, (name, number) in enumerate(self._state.totals().items()):
            text.write(f'{", " if place else ""}"{name}":')
            text.number(number)
        text.write('}, "read_microseconds_log2": [')
        for place, number in enumerate(self._state.histogram()):
            text.write("," if place else "")
            text.number(number)
        text.write("]}")

    def _write_prometheus(self, text: _FixedText) -> None:
        mount = f'mountpoint="{_label(self._facts["mountpoint"])}"'
        archive = _label(self._facts["archive"])
        text.write("# TYPE ffrfs_mount_info gauge\n")
        text.write(f'ffrfs_mount_info{{{mount},archive="{archive}",version="{__version__}"}} 1\n')
        for name in ("workers", "files", "started"):
            metric = "ffrfs_start_time_seconds" if name == "started" else f"ffrfs_{name}"
            text.write(f"# TYPE {metric} gauge\n{metric}{{{mount}}} {self._facts[name]}\n")
        totals = self._state.totals()
        for name, number in totals.items():
            text.write(f"# TYPE ffrfs_{name}_total counter\n")
            text.sample(f"ffrfs_{name}_total{{{mount}}}", number)
        text.write("# TYPE ffrfs_read_seconds histogram\n")
        below = 0
        for bucket, number in enumerate(self._state.histogram()):
            below += number
            text.sample(f'ffrfs_read_seconds_bucket{{{mount},le="{2**bucket / 1e6:g}"}}', below)
        text.sample(f'ffrfs_read_seconds_bucket{{{mount},le="+Inf"}}', below)
        text.sample(f"ffrfs_read_seconds_sum{{{mount}}}", totals["read_us"] / 1e6)
        text.sample(f"ffrfs_read_seconds_count{{{mount}}}", below)


class _FixedText:
    """A text in which every number has its place: of the same length each time, and on one page. The kernel keeps pages
    of the text, and a reader may get some of it from one moment and some from another; it is always a whole text."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, text: str) -> None:
        self.data += text.encode("utf-8")

    def number(self, number: float) -> None:
        left = -len(self.data) % _PAGE_BYTES
        if left < _NUMBER_BYTES:
            self.data += b" " * left
        text = f"{number:.6f}" if isinstance(number, float) else str(number)
        self.data += text.rjust(_NUMBER_BYTES).encode("ascii")

    def sample(self, name: str, number: float) -> None:
        self.write(name)
        self.number(number)
        self.write("\n")


def _label(path: object) -> str:
    """A path as the value of a label: its last part if it is long, since every line has it."""
    text = str(path)[-_MAX_LABEL_CHARACTERS:].encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
