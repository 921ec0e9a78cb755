"""What a cache holds of one file: NAME.data, sparse, as large as the file, and NAME.map, which says what is there.

    at          size  field
    0           4096  JSON: {"format", "name", "place", "size", "boot"}, padded with NUL
    4096        n     for each block of 1 MiB: 0, not there; else its generation
    4096 + n    n     the block's last generation, 1 to 255, a new one each time that it is fetched
    4096 + 2n   n     what was there when the data was last made durable

Whoever reads compares the generations before and after, so a block that is dropped or fetched anew meanwhile is
noticed. Data is written before the map says so, but a power failure may lose the one and not the other: an entry of an
earlier boot is believed only as far as it was made durable. The rest is caught by the archive's checksums.

The map is locked shared (flock) by all who use the entry, so that nobody removes it, and in ranges by who fetches.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["BLOCK_BYTES", "Entry", "EntryFacts", "read_facts"]

BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 4096
_FORMAT = 1
_LOCK_SECONDS = 60.0  # as long as a fetch may take
_SYNC_BYTES, _SYNC_SECONDS = 1 << 28, 30.0
_FLOCK = struct.Struct("hhqqi4x")


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """Of what an entry is: the file as messages name it, its full address, its size."""

    name: str
    place: str
    size_bytes: int


class Entry:
    """An entry in use, made if it is not there. Args: base, its path without the endings.

    Raises: OSError where it cannot be made.
    """

    def __init__(self, base: str, facts: EntryFacts) -> None:
        self.base, self.facts = base, facts
        self.blocks = -(-facts.size_bytes // BLOCK_BYTES)
        self._map_fd = self.fd = -1
        self._lock_fd = -1
        self._view = mmap.mmap(-1, 1)
        self._unsynced_bytes, self._synced_at = 0, time.monotonic()
        try:
            while not self._open():
                self.close()
            self._view = mmap.mmap(self._map_fd, _HEAD_BYTES + 3 * self.blocks)
            self.begin_process()
        except BaseException:
            self.close()
            raise
        with contextlib.suppress(OSError):
            os.utime(self._map_fd)  # when it was last used

    def begin_process(self) -> None:
        """After a fork: a lock on an inherited description would outlive a child that is killed."""
        if self._map_fd >= 0:
            fd, self._lock_fd = self._lock_fd, os.open(f"/proc/self/fd/{self._map_fd}", os.O_RDWR | os.O_CLOEXEC)
            if fd >= 0:
                os.close(fd)

    def generations(self, first: int, end: int) -> bytes:
        """Of the blocks [first, end): 0 where one is not there."""
        return self._view[_HEAD_BYTES + first : _HEAD_BYTES + end]

    def missing(self, first: int, end: int, run_blocks: int) -> list[tuple[int, int]]:
        """Runs [begin, end) of at most `run_blocks` blocks that are not there, of [first, end)."""
        runs: list[tuple[int, int]] = []
        for block, generation in enumerate(self.generations(first, end), first):
            if generation:
                continue
            if runs and runs[-1][1] == block and block - runs[-1][0] < run_blocks:
                runs[-1] = (runs[-1][0], block + 1)
            else:
                runs.append((block, block + 1))
        return runs

    def write(self, first: int, data: memoryview) -> None:
        """Put whole blocks there. Raises: OSError."""
        done = 0
        while done < len(data):
            done += os.pwrite(self.fd, data[done:], first * BLOCK_BYTES + done)
        last = _HEAD_BYTES + self.blocks
        for block in range(first, first + -(-len(data) // BLOCK_BYTES)):
            generation = self._view[last + block] % 255 + 1
            self._view[last + block] = generation
            self._view[_HEAD_BYTES + block] = generation  # only now may others read it
        self._unsynced_bytes += len(data)

    def drop(self, first: int, end: int) -> None:
        """Have blocks not be there any more."""
        self._view[_HEAD_BYTES + first : _HEAD_BYTES + end] = bytes(end - first)

    def wants_sync(self) -> bool:
        """Whether it is time to make durable what was written."""
        return self._unsynced_bytes >= _SYNC_BYTES or (
            self._unsynced_bytes > 0 and time.monotonic() - self._synced_at > _SYNC_SECONDS
        )

    def sync(self) -> None:
        """Make what is there durable, and note that it is. Raises: OSError."""
        self._unsynced_bytes, self._synced_at = 0, time.monotonic()
        there = self.generations(0, self.blocks)
        os.fdatasync(self.fd)
        self._view[_HEAD_BYTES + 2 * self.blocks :] = there
        os.fdatasync(self._map_fd)

    @contextlib.contextmanager
    def fetching(self, first: int, end: int) -> Iterator[bool]:
        """Keep other processes from fetching these blocks. Yields: whether nobody else does any more; one that was
        stopped in the middle is not waited for."""
        got = self._lock(fcntl.F_WRLCK, first, end)
        try:
            yield got
        finally:
            if got:
                self._lock(fcntl.F_UNLCK, first, end)

    def close(self) -> None:
        """Stop using it; reading afterwards raises ValueError. The map holds the lock as long as it is mapped."""
        self._view.close()
        for fd in (self._map_fd, self.fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._map_fd = self.fd = self._lock_fd = -1

    def _lock(self, kind: int, first: int, end: int) -> bool:
        what = _FLOCK.pack(kind, os.SEEK_SET, _HEAD_BYTES + first, end - first, 0)
        until, pause_seconds = time.monotonic() + _LOCK_SECONDS, 0.001
        while True:
            try:
                fcntl.fcntl(self._lock_fd, fcntl.F_OFD_SETLK, what)
                return True
            except BlockingIOError:
                if time.monotonic() > until:
                    return False
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, 0.02)

    def _open(self) -> bool:
        """Open and lock the files; returns False if somebody has removed them meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._map_fd = os.open(self.base + ".map", flags, 0o600)
        fcntl.flock(self._map_fd, fcntl.LOCK_SH)
        if not self._is_ready():
            fcntl.flock(self._map_fd, fcntl.LOCK_EX)  # which gives the shared lock up first
            if not self._is_ready():
                self._initialise()
            fcntl.flock(self._map_fd, fcntl.LOCK_SH)
        if not _is_at(self._map_fd, self.base + ".map"):
            return False
        self.fd = os.open(self.base + ".data", flags, 0o600)
        if os.fstat(self.fd).st_size == self.facts.size_bytes:
            return True
        for ending in (".map", ".data"):  # the data was removed or cut, and a map alone says nothing
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.base + ending)
        return False

    def _is_ready(self) -> bool:
        """Whether the map is whole, and of this boot."""
        return os.fstat(self._map_fd).st_size == _HEAD_BYTES + 3 * self.blocks and self._head() == self._wanted()

    def _head(self) -> dict[str, object]:
        try:
            head = json.loads(os.pread(self._map_fd, _HEAD_BYTES, 0).rstrip(b"\0"))
        except ValueError:
            return {}
        return head if isinstance(head, dict) else {}

    def _wanted(self) -> dict[str, object]:
        facts = self.facts
        name, place = facts.name[-1000:], facts.place[-1000:]
        return {"format": _FORMAT, "name": name, "place": place, "size": facts.size_bytes, "boot": _boot_id()}

    def _initialise(self) -> None:
        """Make the map, or after a boot bring it to what is certain. Nobody else uses the entry."""
        size = _HEAD_BYTES + 3 * self.blocks
        head = self._head()
        if os.fstat(self._map_fd).st_size == size and {**head, "boot": ""} == {**self._wanted(), "boot": ""}:
            certain = os.pread(self._map_fd, self.blocks, _HEAD_BYTES + 2 * self.blocks)
            os.pwrite(self._map_fd, certain, _HEAD_BYTES)
        else:
            data_fd = os.open(self.base + ".data", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.ftruncate(data_fd, 0)
                os.ftruncate(data_fd, self.facts.size_bytes)
            finally:
                os.close(data_fd)
            os.ftruncate(self._map_fd, 0)
            os.posix_fallocate(self._map_fd, 0, size)  # a map without its place on the disk would be a SIGBUS
        text = json.dumps(self._wanted()).encode()
        os.pwrite(self._map_fd, text.ljust(_HEAD_BYTES, b"\0")[:_HEAD_BYTES], 0)


def read_facts(map_path: str) -> EntryFacts | None:
    """Of what an entry is, or None if that cannot be read."""
    try:
        with open(map_path, "rb") as file:
            head = json.loads(file.read(_HEAD_BYTES).rstrip(b"\0"))
        return EntryFacts(str(head["name"]), str(head["place"]), int(head["size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
