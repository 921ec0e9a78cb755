"""Memory limits for processes, by a control group of version 1 or 2, whichever this machine has."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import send, wait_until


@dataclass(frozen=True)
class _Version:
    """The names that a version of control groups has for things; controller, as in /proc/self/cgroup."""

    controller: str
    limit: str
    peak: str
    events: str


_VERSIONS = {
    "cgroup": _Version("memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"),
    "cgroup2": _Version("", "memory.max", "memory.peak", "memory.events"),
}


class MemoryGroup:
    """A control group with a memory limit. Args: top, the hierarchy; folder, the group's; version, the hierarchy's."""

    def __init__(self, top: Path, folder: Path, version: _Version) -> None:
        self._top, self._folder, self._version = top, folder, version

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Have what this process starts in the block belong to the group; its own memory stays where it was counted."""
        lines = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
        own = next(path for _, controllers, path in lines if self._version.controller in controllers.split(","))
        _move_to(self._folder)
        try:
            yield
        finally:
            _move_to(self._top / own.lstrip("/"))

    def peak_bytes(self) -> int:
        """The most memory that the group has had, the page cache that it filled included."""
        return int((self._folder / self._version.peak).read_text())

    def kills(self) -> int:
        """How many processes of the group the kernel has killed because memory was short."""
        lines = (self._folder / self._version.events).read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    def processes(self) -> list[int]:
        """The processes of the group."""
        return [int(line) for line in (self._folder / "cgroup.procs").read_text().split()]


def _move_to(folder: Path) -> None:
    (folder / "cgroup.procs").write_text(str(os.getpid()))


def why_no_memory_limit() -> str | None:
    """What hinders `memory_limit` here, or None."""
    hierarchy = _hierarchy()
    return hierarchy if isinstance(hierarchy, str) else None


@contextlib.contextmanager
def memory_limit(limit_bytes: int) -> Iterator[MemoryGroup]:
    """A group that may have so many bytes of memory; its processes must have ended with the block.

    Skips the calling test where none can be made; for root, FFRFS_REQUIRE_FUSE=1 turns that into a failure.
    """
    hierarchy = _hierarchy()
    if isinstance(hierarchy, str):
        if os.geteuid() == 0 and os.environ.get("FFRFS_REQUIRE_FUSE") == "1":
            pytest.fail(f"FFRFS_REQUIRE_FUSE=1, but memory cannot be limited here: {hierarchy}")
        pytest.skip(f"memory cannot be limited here: {hierarchy}")
    top, version = hierarchy
    folder = top / f"ffrfs-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        (folder / version.limit).write_text(str(limit_bytes))
        group = MemoryGroup(top, folder, version)
        try:
            yield group
            wait_until(lambda: group.processes() == [], "the group has no processes left", 60)
        finally:
            send(group.processes(), signal.SIGKILL)
            wait_until(lambda: group.processes() == [], "the group has no processes left", 60)
    finally:
        folder.rmdir()


def _hierarchy() -> tuple[Path, _Version] | str:
    """Where groups with a memory limit can be made; or why nowhere."""
    if os.geteuid() != 0:
        return "making a control group needs root"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        top, (kind, _, options) = Path(before.split()[4]), after.split(" ", 2)
        if kind == "cgroup" and "memory" in options.split(","):
            return top, _VERSIONS[kind]
        if kind == "cgroup2" and "memory" in (top / "cgroup.subtree_control").read_text().split():
            return top, _VERSIONS[kind]
    return "no hierarchy of control groups has the memory controller"
