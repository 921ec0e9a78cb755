"""What a mount has counted, as text: the hidden folder `.ffrfs` of every mount, with `stats` (JSON) and `metrics`
(Prometheus). It is never listed, so that comparing trees does not see it.

A file's text is padded to a fixed size: it is made anew at each READ, and its end must not move between two of them.
"""

from __future__ import annotations

import json
import os
import time

from ffrfs.format.index import ROOT_INODE
from ffrfs.format.tree import MAX_NAME_BYTES
from ffrfs.fs.state import HISTOGRAM_BUCKETS, SharedState
from ffrfs.version import __version__

__all__ = ["FOLDER_NAME", "OWN_FOLDER_NAME", "TEXT_BYTES", "StatisticsFolder"]

FOLDER_NAME = b".ffrfs"
# For programs: no archive can have a name that long, as it can have `.ffrfs`. The kernel passes on up to 1024 bytes.
OWN_FOLDER_NAME = FOLDER_NAME.ljust(MAX_NAME_BYTES + 1, b"-")
TEXT_BYTES = 65535
_MAX_LABEL_CHARACTERS = 255
_FOLDER_INODE = 1 << 48  # above all rows of any index
_FILES = {b"stats": _FOLDER_INODE + 1, b"metrics": _FOLDER_INODE + 2}


class StatisticsFolder:
    """The hidden folder.

    Args: state, the counters; archive, mountpoint, workers, files, what the mount is. Made in the supervisor, used in
    the workers.
    """

    def __init__(self, state: SharedState, archive: str, mountpoint: str, workers: int, files: int) -> None:
        self._state = state
        self._facts = {
            "version": __version__,
            "archive": archive,
            "mountpoint": mountpoint,
            "supervisor_pid": os.getpid(),
            "workers": workers,
            "files": files,
            "started": time.time(),
        }

    def lookup(self, parent: int, name: bytes) -> int:
        """The inode of a name of this folder's, or 0."""
        if parent == ROOT_INODE:
            return _FOLDER_INODE if name in (FOLDER_NAME, OWN_FOLDER_NAME) else 0
        return _FILES.get(name, 0) if parent == _FOLDER_INODE else 0

    def is_folder(self, inode: int) -> bool:
        """Whether the inode is the folder, and not a file in it."""
        return inode == _FOLDER_INODE

    def text(self, inode: int) -> bytes:
        """The text of a file of the folder, always of `TEXT_BYTES` bytes. Raises: FileNotFoundError."""
        if inode == _FILES[b"stats"]:
            text = self._json()
        elif inode == _FILES[b"metrics"]:
            text = self._prometheus()
        else:
            raise FileNotFoundError(inode)
        return text.encode("utf-8").ljust(TEXT_BYTES - 1) + b"\n"

    def _json(self) -> str:
        totals = self._state.totals()
        histogram = [totals.pop(f"read_us_{bucket}") for bucket in range(HISTOGRAM_BUCKETS)]
        return json.dumps({**self._facts, "counters": totals, "read_microseconds_log2": histogram})

    def _prometheus(self) -> str:
        totals = self._state.totals()
        histogram = [totals.pop(f"read_us_{bucket}") for bucket in range(HISTOGRAM_BUCKETS)]
        mount = f'mountpoint="{_label(self._facts["mountpoint"])}"'
        lines = [
            "# TYPE ffrfs_mount_info gauge",
            f'ffrfs_mount_info{{{mount},archive="{_label(self._facts["archive"])}",version="{__version__}"}} 1',
        ]
        for name in ("workers", "files", "started"):
            metric = "ffrfs_start_time_seconds" if name == "started" else f"ffrfs_{name}"
            lines += [f"# TYPE {metric} gauge", f"{metric}{{{mount}}} {self._facts[name]}"]
        for name, number in totals.items():
            lines += [f"# TYPE ffrfs_{name}_total counter", f"ffrfs_{name}_total{{{mount}}} {number}"]
        lines.append("# TYPE ffrfs_read_seconds histogram")
        below = 0
        for bucket, number in enumerate(histogram):
            below += number
            lines.append(f'ffrfs_read_seconds_bucket{{{mount},le="{2**bucket / 1e6:g}"}} {below}')
        lines.append(f'ffrfs_read_seconds_bucket{{{mount},le="+Inf"}} {below}')
        lines.append(f"ffrfs_read_seconds_count{{{mount}}} {below}")
        return "\n".join([*lines, ""])


def _label(path: object) -> str:
    """A path as the value of a label: its last part if it is long, since every line has it."""
    text = str(path)[-_MAX_LABEL_CHARACTERS:].encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
