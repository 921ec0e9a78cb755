"""The folder of a cache: its entries, how much they take, and which have to go.

Everything is admitted until the cache is full; then whole entries go that nobody uses, those first that were used
longest ago; then what is not there is read past the cache. To drop parts of what is being read, as LRU does, would
hit less: in shuffled epochs a block that was just read is the one that is needed last.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ffrfs.cache.entry import Entry, EntryFacts, read_facts
from ffrfs.cache.options import CacheOptions
from ffrfs.errors import ConfigError
from ffrfs.linux.ownership import changeable_by_others

__all__ = ["CacheFolder", "CachedFile"]

_LOCK_SECONDS = 5.0
_SPARE = 20  # a twentieth of the disk is left free
_SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class CachedFile:
    """An entry as `CacheFolder.entries` lists it. used_at, seconds since the epoch."""

    base: str
    facts: EntryFacts
    held_bytes: int
    used_at: float
    in_use: bool


class _Usage:
    """How much the entries take, noted in the file that is locked."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def bytes(self) -> int:
        return int.from_bytes(os.pread(self._fd, 8, 0), "little")

    def add(self, size_bytes: int) -> None:
        self.set(max(self.bytes() + size_bytes, 0))

    def set(self, size_bytes: int) -> None:
        os.pwrite(self._fd, size_bytes.to_bytes(8, "little"), 0)


class CacheFolder:
    """A folder for entries, made if it is not there.

    Raises: ConfigError if others could put something there; OSError where it cannot be made.
    """

    def __init__(self, options: CacheOptions) -> None:
        self.path, self._limit_bytes = options.folder, options.limit_bytes
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        status = os.stat(self.path)
        other = changeable_by_others(self.path)
        if (
            other is not None
            or status.st_uid not in (0, os.geteuid())
            or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        ):
            raise ConfigError(f"others can write to the cache {self.path}: use a folder of your own, with mode 0700")
        with self._locked() as usage:
            usage.set(sum(map(_held_bytes, self._bases())))

    def entry(self, facts: EntryFacts, identity: str) -> Entry:
        """The entry of a file in this version. Raises: OSError."""
        key = "\0".join((facts.place, identity, str(facts.size_bytes)))
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return Entry(os.path.join(self.path, digest), facts)

    def store(self, size_bytes: int, write: Callable[[], None]) -> bool:
        """Write so many bytes if there is room or can be made; returns whether it was. Raises: OSError of `write`."""
        try:
            with self._locked() as usage:
                if not self._make_room(size_bytes, usage):
                    return False
                write()
                usage.add(size_bytes)
                return True
        except TimeoutError:
            return False

    def entries(self) -> Iterator[CachedFile]:
        """All entries, those first that were used longest ago."""
        found = []
        for base in self._bases():
            facts = read_facts(base + ".map")
            with contextlib.suppress(FileNotFoundError):
                used_at = os.stat(base + ".map").st_mtime
                found.append(
                    CachedFile(base, facts or EntryFacts("?", "?", 0), _held_bytes(base), used_at, _in_use(base))
                )
        return iter(sorted(found, key=lambda entry: entry.used_at))

    def remove(self, base: str) -> bool:
        """Remove an entry; returns False if somebody uses it. Raises: OSError."""
        with self._locked() as usage:
            freed_bytes = self._remove(base)
            usage.add(-(freed_bytes or 0))
            return freed_bytes is not None

    def _make_room(self, size_bytes: int, usage: _Usage) -> bool:
        if self._fits(size_bytes, usage):
            return True
        for entry in self.entries():
            freed_bytes = self._remove(entry.base)
            if freed_bytes is not None:
                usage.add(-freed_bytes)
                if self._fits(size_bytes, usage):
                    return True
        return False

    def _fits(self, size_bytes: int, usage: _Usage) -> bool:
        if self._limit_bytes is None:
            disk = os.statvfs(self.path)
            return disk.f_bavail * disk.f_frsize - size_bytes > disk.f_blocks * disk.f_frsize // _SPARE
        return usage.bytes() + size_bytes <= self._limit_bytes

    def _remove(self, base: str) -> int | None:
        """Remove an entry that nobody uses; returns what it held, None if it stays."""
        try:
            fd = os.open(base + ".map", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held_bytes = _held_bytes(base)
            for ending in (".data", ".map"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(base + ending)
            return held_bytes
        except BlockingIOError:
            return None
        finally:
            _unlock(fd)

    def _bases(self) -> list[str]:
        names = os.listdir(self.path)
        return [os.path.join(self.path, name.removesuffix(".map")) for name in names if name.endswith(".map")]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[_Usage]:
        """Have the folder for oneself. A descriptor for each time: a lock of its own, in every thread and process.
        Raises: TimeoutError if somebody was stopped who has it."""
        fd = os.open(os.path.join(self.path, "used"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise TimeoutError(errno.ETIMEDOUT, "the cache is locked", self.path) from None
                time.sleep(0.002)
            yield _Usage(fd)
        finally:
            _unlock(fd)


def _held_bytes(base: str) -> int:
    """What an entry takes on the disk."""
    held = 0
    for ending in (".data", ".map"):
        with contextlib.suppress(FileNotFoundError):
            held += os.stat(base + ending).st_blocks * _SECTOR_BYTES
    return held


def _in_use(base: str) -> bool:
    try:
        fd = os.open(base + ".map", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        _unlock(fd)
    return False


def _unlock(fd: int) -> None:
    """Give up a lock and close. A child that was forked meanwhile has the descriptor too, and would keep the lock."""
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)
