"""A data loader's worker processes killed in mid-read, over and over, as by a scheduler or for want of memory.

Like a DataLoader's they are forked, 16 at once, from a process that has the archive open, and read through the mount
and in process; killed are single ones, or their parent, or all of them.
"""

import contextlib
import mmap
import os
import random
import signal
import time

import pytest

from ffrfs import PackedFolder, pack_folder
from tests.soak.conftest import TIMEOUT_SECONDS
from tests.support.mounts import mounted
from tests.support.pool import PooledFiles
from tests.support.processes import has_ended, wait_until
from tests.support.readers import reading
from tests.support.watching import Usage

LOADERS = 16
PART = 6  # of SOAK_SECONDS that this test takes
WRONG = 99  # exit status of a worker that got a wrong byte
START_SECONDS = 60.0
END_SECONDS = 10.0
GROWTH_KIB = 16 << 10
FILES = PooledFiles({f"{number % 10}/{number:03}": 5_000 * number for number in range(200)} | {"large": 60 << 20})


def read_forever(place, packed, seed):
    """What one worker does: read files in the ways in which a dataset does, and compare them."""
    numbers, names = random.Random(seed), list(FILES)
    while True:
        wanted = numbers.sample(names, 4)
        received = packed.read(wanted)
        for name, array in zip(wanted, received, strict=True):
            with open(place / name, "rb", buffering=0) as file:
                contents = file.read()
                if contents:
                    with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
                        mapped = view[:]
                    if mapped != contents:
                        os._exit(WRONG)
            if not contents == array.tobytes() == FILES[name]:
                os._exit(WRONG)


def start(work, *arguments):
    """Fork a process, in which nothing of pytest's runs; returns its id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(*arguments)
            status = 0
        finally:
            os._exit(status)
    return pid


def load(place, archive, seed):
    """What a training process does: open the archive, fork the workers, start those anew that are killed."""
    os.setpgid(0, 0)
    with PackedFolder(archive) as packed:
        packed.read_one("large")
        for number in range(LOADERS):
            start(read_forever, place, packed, seed * LOADERS + number)
        while True:
            if os.waitstatus_to_exitcode(os.wait()[1]) != -signal.SIGKILL:
                os._exit(WRONG)
            seed += 1
            start(read_forever, place, packed, seed * LOADERS)


@contextlib.contextmanager
def loading(place, archive, seed):
    """Have a training process with all its workers run; none of them is left over, whatever happens."""
    loader = start(load, place, archive, seed)
    try:
        wait_until(lambda: len(members(loader)) == LOADERS + 1, f"all {LOADERS} workers run", START_SECONDS)
        yield loader
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(loader, signal.SIGKILL)


def members(group):
    """The living processes of a process group."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if group_of(pid) == group and not has_ended(pid)]


def group_of(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def kill_some(loader, numbers):
    """Kill single workers for a while, then the parent, perhaps, and at last everybody; returns how many."""
    kills = 0
    for _ in range(numbers.randrange(12)):
        time.sleep(numbers.random() * 0.2)
        workers = [pid for pid in members(loader) if pid != loader]
        for pid in numbers.sample(workers, min(numbers.randint(1, 4), len(workers))):
            with contextlib.suppress(ProcessLookupError):  # killed the last time, and only now gone
                os.kill(pid, signal.SIGKILL)
                kills += 1
    if numbers.random() < 0.5:
        os.kill(loader, signal.SIGKILL)
        time.sleep(numbers.random() * 0.2)
    kills += len(members(loader))
    os.killpg(loader, signal.SIGKILL)
    return kills


@pytest.mark.semantics("killed-loaders")
@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_loaders_killed_in_mid_read(fuse, root, workers, soak_seconds, tmp_path):
    archive = tmp_path / "a.ffr"
    pack_folder(FILES.write(tmp_path / "folder"), archive)
    numbers, cycles, kills, slowest = random.Random(workers), 0, 0, 0.0
    with mounted(archive, tmp_path, f"workers={workers}", hang_seconds=TIMEOUT_SECONDS - 60) as mount:
        usage = Usage(mount)
        usage.sample()
        end = time.monotonic() + soak_seconds / PART / 2
        with reading(mount.path, FILES, 2) as outcome:
            while time.monotonic() < end or cycles < 3:
                with loading(mount.path, archive, cycles) as loader:
                    kills += kill_some(loader, numbers)
                    begin = time.monotonic()
                    wait_until(lambda loader=loader: members(loader) == [], "they have ended", END_SECONDS)
                    slowest = max(slowest, time.monotonic() - begin)
                    assert os.waitstatus_to_exitcode(os.waitpid(loader, 0)[1]) == -signal.SIGKILL
                cycles += 1
                usage.sample()
        wait_until(lambda: mount.waiting() == 0, "no request is left over", END_SECONDS)
        for _ in range(cycles // 2):  # at rest, so that what is being read at the moment is not taken for growth
            usage.sample()
            time.sleep(0.05)
        print(f"\n{cycles} loaders, {kills} kills, ended within {slowest:.2f} s; beside them {outcome}")
        for name, contents in FILES.items():
            assert (mount.path / name).read_bytes() == contents
    assert (outcome.wrong, outcome.errors) == ([], {})
    assert max(usage.growth_kib().values()) < GROWTH_KIB
    assert set(usage.descriptors_gained().values()) == {0}
