"""What a mount has counted, read from its folder of statistics, and what follows from the numbers."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections import Counter
from dataclasses import dataclass, replace

from ffrfs.errors import MountError
from ffrfs.fs.statistics import OWN_FOLDER_NAME, TEXT_BYTES
from ffrfs.mount.mountpoint import DEAD_ERRNOS, find_mount

__all__ = ["Observation", "observe", "read_statistics"]

_FOLDER = os.fsdecode(OWN_FOLDER_NAME)
_PADDING = re.compile(r" +(?=[^ \n]+$)", re.MULTILINE)  # before the number of a metric, which gives it its place


@dataclass(frozen=True, slots=True)
class Observation:
    """The counters of a mount over a span of time: from its beginning, or between two observations.

    Attributes: archive, mountpoint, workers, files, what the mount is; counters, by the names of `ffrfs.fs.counters`, 0
    what a daemon of another version has not; read_histogram, element b the number of READs that took less than 2**b µs
    and not less than half of that; begin, end, seconds since the epoch; shared, whether jobs share it.
    """

    archive: str
    mountpoint: str
    workers: int
    files: int
    counters: dict[str, int]
    read_histogram: list[int]
    begin: float
    end: float
    shared: bool = False

    def since(self, earlier: Observation) -> Observation:
        """What was counted after an earlier observation of the same mount."""
        return replace(
            self,
            counters=Counter({name: number - earlier.counters.get(name, 0) for name, number in self.counters.items()}),
            read_histogram=[a - b for a, b in zip(self.read_histogram, earlier.read_histogram, strict=True)],
            begin=earlier.end,
        )

    def rate(self, counter: str) -> float:
        """How often a second, on average."""
        return self.counters[counter] / max(self.end - self.begin, 1e-9)

    def share(self, part: str, whole: str) -> float | None:
        """What part of one counter another one is, from 0 to 1; None where there is nothing to share."""
        return self.counters[part] / self.counters[whole] if self.counters[whole] else None

    def read_below_us(self, quantile: float) -> int | None:
        """The time in µs, a power of two, in less than which this part of the READs was answered; None without any.

        Args: quantile, from 0 to 1.
        """
        wanted = quantile * sum(self.read_histogram)
        answered = 0
        for bucket, number in enumerate(self.read_histogram):
            answered += number
            if number and answered >= wanted:
                return 1 << bucket
        return None


def observe(mountpoint: str) -> Observation:
    """What a mount has counted since it was made. Raises: MountError."""
    try:
        facts = json.loads(read_statistics(mountpoint, "stats"))
        return Observation(
            archive=str(facts["archive"]),
            mountpoint=str(facts["mountpoint"]),
            workers=int(facts["workers"]),
            files=int(facts["files"]),
            counters=Counter({name: int(number) for name, number in facts["counters"].items()}),
            read_histogram=[int(number) for number in facts["read_microseconds_log2"]],
            begin=float(facts["started"]),
            end=time.time(),
            shared=facts.get("shared") is True,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise MountError(
            f"the statistics of the mount at {mountpoint} are not understood: its daemon may be of another version of"
            " ffrfs; mount anew"
        ) from None


def read_statistics(mountpoint: str, name: str) -> str:
    """The text of one of the files in a mount's hidden folder: `stats` (JSON) or `metrics` (Prometheus).

    Raises: MountError if there is no such mount, it is dead, or it shows nothing to this user.
    """
    try:
        with open(os.path.join(mountpoint, _FOLDER, name), "rb") as file:
            text = file.read(TEXT_BYTES).decode("utf-8", "backslashreplace")
        if name == "stats":
            return json.dumps(json.loads(text)) + "\n"
        return _PADDING.sub(" ", text.rstrip()) + "\n"
    except PermissionError:
        raise MountError(
            f"the mount at {mountpoint} shows nothing to this user: ask as its owner, or mount with -o allow_other"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        if find_mount(mountpoint) is None:
            raise MountError(_no_archive(mountpoint)) from None
        raise MountError(f"no statistics are kept at {mountpoint}: it is a part of a mount; ask at the whole") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # another file system
            raise MountError(_no_archive(mountpoint)) from None
        if error.errno not in DEAD_ERRNOS:
            raise
        raise MountError(
            f"the mount at {mountpoint} is dead: 'ffrfs umount {mountpoint}' removes it, then mount anew"
        ) from None


def _no_archive(mountpoint: str) -> str:
    return f"no archive is mounted at {mountpoint}: 'ffrfs mounts' lists what is mounted"
