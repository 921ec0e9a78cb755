"""A mount under all kinds of load at once, for a long time and short of memory: every byte right, nothing grows.

32 readers compare what they read, in every way; `find` and fio, which verifies checksums of its own, run beside them;
page caches are dropped at random; the daemon may have less memory than a third of the archive.
"""

import contextlib
import os
import random
import subprocess
import threading
import time

import pytest

from ffrfs import pack_folder
from ffrfs.mount.observation import observe
from tests.soak.conftest import TIMEOUT_SECONDS
from tests.support import fio
from tests.support.cache import DROP_CACHES, drop
from tests.support.cgroups import memory_limit, why_no_memory_limit
from tests.support.mounts import mounted
from tests.support.pool import PooledFiles
from tests.support.processes import wait_until
from tests.support.readers import WAYS, reading
from tests.support.watching import Usage

READERS = 32
DAEMON_BYTES = 256 << 20
FIO_BYTES = 128 << 20
GROWTH_KIB = 16 << 10
LONGEST_LOOK_SECONDS = 60.0  # at one file, whatever its size, by one of all these readers
LONGEST_REQUEST_SECONDS = 20.0


def sizes():
    """Near a gigabyte in files of every kind of size."""
    small = {f"small/{number // 100:02}/{number:04}": 37 * number for number in range(2000)}
    middle = {f"middle/{number // 100}/{number:03}": 300_000 + 1_500 * number for number in range(600)}
    large = {f"large/{number}": (32 << 20) - number for number in range(8)}
    return small | middle | large


@pytest.fixture(scope="module")
def packed(soak_seconds, tmp_path_factory):
    """The files, the folder in which they and fio's lie, and the archive."""
    base = tmp_path_factory.mktemp("soak")
    files = PooledFiles(sizes())
    folder = files.write(base / "folder")
    fio.write(folder / "fio", FIO_BYTES)
    pack_folder(folder, base / "a.ffr")
    return files, folder, base / "a.ffr"


@contextlib.contextmanager
def repeating(*works):
    """Have threads do these works over and over while the block runs; an error of one is raised at its end.

    Yields: how often each was done."""
    over, counts, errors = threading.Event(), [0] * len(works), []

    def repeat(number):
        try:
            while not over.is_set():
                works[number]()
                counts[number] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=repeat, args=[number]) for number in range(len(works))]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert errors == []


def find(folder):
    """What `find` finds: path and size of each file."""
    command = ["find", folder, "-type", "f", "-printf", r"%P %s\n"]
    return sorted(subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout.splitlines())


def find_everything(mount, expected):
    assert find(mount) == expected


def squeeze(numbers, archive, mount):
    """Wait a little, then have the kernel forget something."""
    time.sleep(numbers.uniform(0.1, 4))
    if os.access(DROP_CACHES, os.W_OK) and numbers.random() < 0.7:
        DROP_CACHES.write_text(numbers.choice("123"))
    else:
        drop(numbers.choice([archive, mount / "large"]))


@contextlib.contextmanager
def little_memory():
    """Start what the block starts in a group of little memory, where that can be; yields the group or None."""
    if why_no_memory_limit() is not None and os.environ.get("FFRFS_REQUIRE_FUSE") != "1":
        yield None
        return
    with memory_limit(DAEMON_BYTES) as group:
        yield group


@pytest.mark.semantics("soak")
@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_soak(fuse, root, soak_seconds, packed, workers, tmp_path):
    seconds = soak_seconds / 2  # one half with one worker, one with four
    files, folder, archive = packed
    numbers = random.Random()
    expected = find(folder)
    with little_memory() as group, contextlib.ExitStack() as stack:
        with group.inside() if group else contextlib.nullcontext():
            mount = stack.enter_context(
                mounted(archive, tmp_path, f"workers={workers}", hang_seconds=TIMEOUT_SECONDS - 60)
            )
        usage = Usage(mount)
        usage.sample()
        works = [
            lambda: find_everything(mount.path, expected),
            lambda: squeeze(numbers, archive, mount.path),
            *(lambda way=way: fio.verify(mount.path / "fio", FIO_BYTES, way) for way in fio.WAYS),
        ]
        with reading(mount.path, files, READERS, tuple(WAYS)) as outcome, repeating(*works) as counts:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(min(1.0, seconds / 100))
                usage.sample()
                assert mount.trouble() == []
        wait_until(lambda: mount.waiting() == 0, "all requests are answered", LONGEST_REQUEST_SECONDS)
        usage.sample()
        seen = observe(str(mount.path))
        print(
            f"\n{seconds:.0f} s, {workers} workers: {outcome}\nfind, squeezes, fio's ways: {counts}; "
            f"{seen.counters['reads']} READs, {seen.counters['read_bytes'] >> 20} MiB, "
            f"99.9 % below {seen.read_below_us(0.999)} us, all below {seen.read_below_us(1)} us; "
            f"most memory {usage.most_kib()} KiB, grown {usage.growth_kib()}, "
            f"group's {group.peak_bytes() >> 20 if group else '-'} MiB"
        )
        assert group is None or group.kills() == 0
        assert subprocess.run(["diff", "-r", folder, mount.path], capture_output=True).stdout == b""
        stack.close()
    assert (outcome.wrong, outcome.errors) == ([], {})
    assert min(counts) > 0
    assert outcome.right > seconds * READERS / 10
    assert outcome.longest_seconds < LONGEST_LOOK_SECONDS
    assert (seen.read_below_us(1) or 0) / 1e6 < LONGEST_REQUEST_SECONDS
    assert max(usage.growth_kib().values()) < GROWTH_KIB
    assert set(usage.descriptors_gained().values()) == {0}
