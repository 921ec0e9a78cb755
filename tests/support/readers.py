"""Processes that read a mounted tree without end and compare every byte, whatever happens to the mount meanwhile."""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path

_PAUSE_SECONDS = 0.02  # after an error, so that readers of a dead mount leave the CPU to whoever mends it
_WRONG_KEPT = 10  # by one reader: what it says in the end must fit into the pipe
_CONTEXT = multiprocessing.get_context("fork")


@dataclass
class Outcome:
    """What the readers of one run have seen: how many files were right, wrong ones by name and way, errors by errno's
    name, and how long the longest look at a file took, in seconds."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0


def _read_whole(path: str, contents: bytes, numbers: random.Random) -> bool:
    with open(path, "rb", buffering=0) as file:
        return file.read() == contents


def _read_parts(path: str, contents: bytes, numbers: random.Random) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        for _ in range(5):
            at, length = numbers.randrange(len(contents) + 1), numbers.randrange(200_000)
            received = b""
            while part := os.pread(fd, length - len(received), at + len(received)):  # short before an error
                received += part
            if received != contents[at : at + length]:
                return False
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    return True


def _map(path: str, contents: bytes, numbers: random.Random) -> bool:
    if not contents:
        return True
    with open(path, "rb", buffering=0) as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        return view[:] == contents


def _list(path: str, contents: bytes, numbers: random.Random) -> bool:
    return os.path.basename(path) in os.listdir(os.path.dirname(path))


WAYS = {"whole": _read_whole, "parts": _read_parts, "map": _map, "list": _list}


def _read_forever(
    folder: str, files: Mapping[str, bytes], ways: tuple[str, ...], seed: int, stop: Event, pipe: int
) -> None:
    """Read random files in random ways until told to stop, then write an `Outcome` to the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    numbers = random.Random(seed)
    names = list(files)
    outcome = Outcome()
    while not stop.is_set():
        name, way = numbers.choice(names), WAYS[numbers.choice(ways)]
        begin = time.monotonic()
        try:
            if way(os.path.join(folder, name), files[name], numbers):
                outcome.right += 1
            elif len(outcome.wrong) < _WRONG_KEPT:
                outcome.wrong.append(f"{name} by {way.__name__}")
        except OSError as error:
            outcome.errors[errno.errorcode.get(error.errno or 0, str(error.errno))] += 1
            time.sleep(_PAUSE_SECONDS)
        outcome.longest_seconds = max(outcome.longest_seconds, time.monotonic() - begin)
    os.write(pipe, (json.dumps(vars(outcome)) + "\n").encode())


@contextlib.contextmanager
def reading(
    folder: Path, files: Mapping[str, bytes], readers: int, ways: tuple[str, ...] = ("whole", "parts", "list")
) -> Iterator[Outcome]:
    """Have processes read while the block runs; its value is filled in when the block has ended.

    Args: files, the contents of each by path in the folder; ways, of `WAYS`. A map is no way where reads may fail: a
    failing page is a SIGBUS. Every reader must end within 60 s of being told to, and well.
    """
    stop = _CONTEXT.Event()
    reader, writer = os.pipe()
    processes = [
        _CONTEXT.Process(target=_read_forever, args=(str(folder), files, ways, seed, stop, writer), daemon=True)
        for seed in range(readers)
    ]
    for process in processes:
        process.start()
    outcome = Outcome()
    try:
        yield outcome
    finally:
        stop.set()
        for process in processes:
            process.join(60)
        codes = [process.exitcode for process in processes]
        for process in processes:
            process.kill()
        os.close(writer)
        os.set_blocking(
            reader, False
        )  # others, forked meanwhile, may hold the writing end: there is no end to wait for
        said = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(reader, 1 << 16):
                said += part
        os.close(reader)
        for line in said.splitlines():
            _add(outcome, json.loads(line))
    assert codes == [0] * readers, f"a reader hangs or was killed: {codes}"


def _add(outcome: Outcome, part: dict[str, object]) -> None:
    one = Outcome(**part)  # type: ignore[arg-type]
    outcome.right += one.right
    outcome.wrong += one.wrong
    outcome.errors.update(one.errors)
    outcome.longest_seconds = max(outcome.longest_seconds, one.longest_seconds)
