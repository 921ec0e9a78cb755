"""What every case gets: how much to measure, the data, the systems, and where results go."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from benchmarks.names import ManyNames
from benchmarks.results import Results
from benchmarks.systems import Mount, NotAvailableError, System
from benchmarks.trees import LargeFile, Tree

S = TypeVar("S", bound=System)
LARGE_ROUNDS = 3  # at most, of what takes minutes a round


@dataclass(frozen=True)
class Plan:
    """How much is measured. The full plan has the sizes of the goals, the quick one shows that everything runs."""

    rounds: int
    coco_files: int
    small_files: int
    sample_files: int  # read in one pass at most
    names: int  # of the archive that is listed
    many_names: int  # of the archive that is only mounted
    record_reads: int  # in one in-process round
    epoch_files: int  # of an epoch on slow storage
    large_bytes: int  # of the one large file


FULL = Plan(5, 5_000, 50_000, 10_000, 1_280_000, 10_000_000, 4_000, 3_000, 2_000_000_000)
QUICK = Plan(1, 300, 1_000, 1_000, 20_000, 100_000, 300, 300, 50_000_000)


@dataclass
class Bench:
    """One run. `folder` holds data and images, which later runs use again; `skipped` says what could not be run."""

    plan: Plan
    folder: Path
    console: Console
    results: Results = field(default_factory=Results)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def coco(self) -> Tree:
        """Files of the size of COCO's images."""
        return self._tree("COCO-like", self.plan.coco_files, 160_000, per_folder=5_000)

    @property
    def small(self) -> Tree:
        """Many files of the size of thumbnails, in folders as ImageNet's classes."""
        return self._tree("small files", self.plan.small_files, 10_000, per_folder=1_000)

    @property
    def large(self) -> LargeFile:
        """A folder with one large file."""
        size_bytes = self.plan.large_bytes
        title = f"one file of {size_bytes / 1e9:g} GB"
        return LargeFile(title, 1, size_bytes, 1, self.folder / f"large-{size_bytes}").build()

    def _tree(self, name: str, files: int, mean_bytes: int, per_folder: int) -> Tree:
        title = f"{files:,} files of {mean_bytes // 1000} kB"
        root = self.folder / f"{name.replace(' ', '-')}-{files}"
        return Tree(title, files, mean_bytes, per_folder, root).build()

    def names(self, count: int) -> ManyNames:
        """An archive of `count` tiny files, a thousand or so in a folder."""
        return ManyNames(f"{count:,} names", count, self.folder)

    @property
    def mountpoint(self) -> Path:
        """An empty folder to mount at."""
        folder = self.folder / f"mnt-{os.getpid()}"
        folder.mkdir(exist_ok=True)
        return folder

    def mounted(self, system: System, image: Path, cpus: str = "") -> AbstractContextManager[Mount]:
        """Serve an image at the mount point."""
        return system.mounted(image, self.mountpoint, cpus)

    def interleave(
        self, what: str, systems: Sequence[S], measure: Callable[[S], None], rounds: int | None = None
    ) -> None:
        """Measure every system once a round, in an order that turns with the rounds, so that no drift favours one.

        A system that this machine cannot run is noted in `skipped` and left out from then on.
        """
        rounds = rounds or self.plan.rounds
        for number in range(rounds):
            turn = number % len(systems)
            for system in [*systems[turn:], *systems[:turn]]:
                if system.name in self.skipped:
                    continue
                self.console.print(f"{what}, round {number + 1} of {rounds}: {system.name}", soft_wrap=True)
                try:
                    measure(system)
                except NotAvailableError as reason:
                    self.skipped[system.name] = str(reason)
                    self.console.print(f"left out: {system.name}: {reason}")
