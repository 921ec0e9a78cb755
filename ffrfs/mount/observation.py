"""What a mount has counted, read from its hidden folder, and what follows from the numbers."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace

from ffrfs.errors import MountError
from ffrfs.mount.mountpoint import DEAD_ERRNOS, find_mount

__all__ = ["Observation", "observe", "read_statistics"]

_FOLDER = ".ffrfs"


@dataclass(frozen=True, slots=True)
class Observation:
    """The counters of a mount over a span of time: from its beginning, or between two observations.

    Attributes: archive, mountpoint, workers, files, what the mount is; counters, by the names of
    `ffrfs.fs.state.COUNTERS`; read_histogram, element b the number of READs that took less than 2**b µs and not less
    than half of that; begin, end, seconds since the epoch.
    """

    archive: str
    mountpoint: str
    workers: int
    files: int
    counters: dict[str, int]
    read_histogram: list[int]
    begin: float
    end: float

    def since(self, earlier: Observation) -> Observation:
        """What was counted after an earlier observation of the same mount."""
        return replace(
            self,
            counters={name: number - earlier.counters.get(name, 0) for name, number in self.counters.items()},
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
    facts = json.loads(read_statistics(mountpoint, "stats"))
    return Observation(
        archive=facts["archive"],
        mountpoint=facts["mountpoint"],
        workers=facts["workers"],
        files=facts["files"],
        counters=facts["counters"],
        read_histogram=facts["read_microseconds_log2"],
        begin=facts["started"],
        end=time.time(),
    )


def read_statistics(mountpoint: str, name: str) -> str:
    """The text of one of the files in a mount's hidden folder: `stats` (JSON) or `metrics` (Prometheus).

    Raises: MountError if there is no such mount, it is dead, or it shows nothing to this user.
    """
    try:
        with open(os.path.join(mountpoint, _FOLDER, name), encoding="utf-8") as text:
            return text.read().rstrip() + "\n"
    except PermissionError:
        raise MountError(
            f"the mount at {mountpoint} shows nothing to this user: ask as its owner, or mount with -o allow_other"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        if find_mount(mountpoint) is None:
            raise MountError(f"no archive is mounted at {mountpoint}: 'ffrfs mounts' lists what is mounted") from None
        raise MountError(f"no statistics are kept at {mountpoint}: it is a part of a mount; ask at the whole") from None
    except OSError as error:
        if error.errno not in DEAD_ERRNOS:
            raise
        raise MountError(
            f"the mount at {mountpoint} is dead: 'ffrfs umount {mountpoint}' removes it, then mount anew"
        ) from None
