"""What the processes of a mount take while it is under load: memory of their own, and descriptors."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from pathlib import Path

from tests.support.mounts import Mounted
from tests.support.processes import open_descriptors


class Usage:
    """Samples over time, by process. Args: mount, whose processes are watched."""

    def __init__(self, mount: Mounted) -> None:
        self._mount = mount
        self._anonymous_kib: defaultdict[int, list[int]] = defaultdict(list)
        self._descriptors: defaultdict[int, list[int]] = defaultdict(list)

    def sample(self) -> None:
        """Take one sample of each process."""
        for pid in self._mount.processes:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                self._anonymous_kib[pid].append(_anonymous_kib(pid))
                self._descriptors[pid].append(open_descriptors(pid))

    def growth_kib(self) -> dict[int, int]:
        """By how much each process has grown: its least in the last quarter above its least in the second quarter, when
        it was warm. The least, since what the prefetcher is reading at the moment is up to 64 MiB and no growth. Kernel
        memory, pages of files and what processes share since their fork are not counted."""
        return {pid: min(_quarter(kib, 3)) - min(_quarter(kib, 1)) for pid, kib in self._anonymous_kib.items()}

    def most_kib(self) -> dict[int, int]:
        """The most that each process had."""
        return {pid: max(kib) for pid, kib in self._anonymous_kib.items()}

    def descriptors_gained(self) -> dict[int, int]:
        """How many descriptors each process has now above what it had at first."""
        return {pid: numbers[-1] - numbers[0] for pid, numbers in self._descriptors.items()}


def _anonymous_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def _quarter(samples: list[int], number: int) -> list[int]:
    return samples[len(samples) * number // 4 : len(samples) * (number + 1) // 4] or samples[-1:]
