"""Processes of a mount killed by SIGKILL under load: no wrong byte, nothing hangs, and the mount goes on."""

import json
import os
import random
import signal
import time

import pytest

from tests.support.archives import write_archive
from tests.support.errnos import fails_with
from tests.support.mounts import mounted
from tests.support.processes import has_ended, open_descriptors, send, stop, wait_until
from tests.support.readers import reading
from tests.support.trees import content

FILES = {f"{number:02}/{size}": content(size, number) for number in range(8) for size in (0, 4097, 60_000, 300_000)}
FILES["large"] = content(5_000_000)
TREE = {b"large": FILES["large"]}
for path, contents in FILES.items():
    if "/" in path:
        TREE.setdefault(path[:2].encode(), {})[path[3:].encode()] = contents

KILLS = 120
DAEMON_KILLS = 15
RESTARTED = r"process \d+ ended with status -9; starting another"
ALONE = r"a process for one request ended with status -9; starting another"
BROKEN_OFF = {"ECONNABORTED", "EINTR"}  # of requests in the hands of a killed worker
LONGEST_SECONDS = 10.0


def kill(pids):
    """Kill processes and wait until they are gone."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(map(has_ended, pids)), "they are dead")


@pytest.fixture
def no_resend(monkeypatch):
    """As before Linux 6.9."""
    monkeypatch.setenv("FFRFS_NO_RESEND", "1")


def can_resend(mounted):
    """Whether the kernel sends requests of killed workers again."""
    return "sends requests again" in mounted.log.read_text()


@pytest.mark.semantics("worker-killed")
@pytest.mark.timeout(400)
def test_workers_killed_under_load(mount, workers):
    killed_under_load(mount, workers)


@pytest.mark.semantics("worker-killed")
@pytest.mark.timeout(400)
def test_workers_killed_under_load_on_an_older_kernel(mount, workers, no_resend):
    killed_under_load(mount, workers)


def killed_under_load(mount, workers):
    mounted = mount(TREE, hang_seconds=340)
    mounted.tolerated = [RESTARTED, ALONE]
    everybody = len(mounted.children)
    descriptors = open_descriptors(mounted.supervisor)
    numbers = random.Random(workers)
    kills, slowest = 0, 0.0
    with reading(mounted.path, FILES, 4) as outcome:
        while kills < KILLS:
            time.sleep(numbers.random() * 0.05)
            victims = numbers.sample(mounted.children, numbers.randint(1, everybody))
            begin = time.monotonic()
            kill(victims)
            kills += len(victims)
            wait_until(lambda: len(mounted.children) == everybody, "killed processes have successors", 10)
            slowest = max(slowest, time.monotonic() - begin)
    print(f"\n{kills} kills, slowest restart {slowest:.2f} s, {workers} workers: {outcome}")
    assert outcome.wrong == []
    assert outcome.right > KILLS
    assert set(outcome.errors) <= (set() if can_resend(mounted) else BROKEN_OFF)
    assert outcome.longest_seconds < LONGEST_SECONDS
    for path, contents in FILES.items():
        assert (mounted.path / path).read_bytes() == contents
    # Between two runs of trio the supervisor has fewer.
    wait_until(lambda: open_descriptors(mounted.supervisor) == descriptors, "no descriptor is left over")


@pytest.mark.semantics("worker-killed")
def test_all_workers_killed_at_once(mount):
    mounted = mount(TREE)
    mounted.tolerated = [RESTARTED]
    everybody = mounted.children
    kill(everybody)
    assert (mounted.path / "large").read_bytes() == FILES["large"]
    wait_until(lambda: len(mounted.children) == len(everybody), "all were started anew", 10)
    assert not set(everybody) & set(mounted.children)


@pytest.mark.semantics("poisoned-request")
def test_a_request_that_kills_whoever_answers_it(mount, monkeypatch):
    """Others that are in the same worker's hands are answered."""
    if os.environ.get("FFRFS_NO_RESEND"):
        pytest.skip("before Linux 6.9 what is in hand fails")
    monkeypatch.setenv("FFRFS_TEST_POISON", "4097")
    mounted = mount(TREE, "prefetch=0", module="tests.support.poisoned")
    if not can_resend(mounted):
        pytest.skip("this kernel sends nothing again")
    mounted.tolerated = [r"ended with status -11; starting another", r"has killed 3 processes: answered with EIO"]
    innocent = {path: contents for path, contents in FILES.items() if not path.endswith("/4097")}
    with reading(mounted.path, innocent, 4, ("whole", "parts")) as outcome:
        for number in range(4):
            with fails_with("EIO"):
                (mounted.path / f"{number:02}" / "4097").read_bytes()
    assert (outcome.wrong, outcome.errors) == ([], {})
    assert outcome.right > 0
    counters = json.loads((mounted.path / ".ffrfs" / "stats").read_text())["counters"]
    assert counters["poisoned_requests"] >= 4  # the kernel asks once more for a page that could not be read ahead
    assert counters["resends"] >= 4


@pytest.mark.semantics("daemon-killed")
@pytest.mark.timeout(400)
def test_the_daemon_killed_under_load_and_mounted_again(fuse, workers, tmp_path):
    """Killed at random moments, as by the kernel when memory is short, and started again, as by systemd."""
    numbers = random.Random(workers)
    archive, place = write_archive(tmp_path / "a.ffr", TREE), tmp_path / "mnt"
    place.mkdir()
    # The empty folder between two mounts can be listed: that is no way to tell whether a mount is right.
    with reading(place, FILES, 4, ("whole", "parts")) as outcome:
        for cycle in range(DAEMON_KILLS):
            folder = tmp_path / str(cycle)
            folder.mkdir()
            with mounted(archive, folder, f"workers={workers}", path=place) as mount:
                time.sleep(numbers.random() * 0.4)
                mount.status = -signal.SIGKILL
                os.kill(mount.supervisor, signal.SIGKILL)
                mount.wait_for_end(leaves_mount=True)
    print(f"\n{DAEMON_KILLS} kills: {outcome}")
    assert outcome.wrong == []
    assert outcome.right > DAEMON_KILLS
    assert set(outcome.errors) <= BROKEN_OFF | {"ENOTCONN", "ENOENT"}  # the latter from the empty folder
    assert outcome.longest_seconds < LONGEST_SECONDS


@pytest.mark.semantics("stopped-worker")
def test_a_stopped_worker_delays_only_what_is_in_its_hands(mount, workers):
    if workers == 1:
        pytest.skip("with one worker, everything is in its hands")
    mounted = mount(TREE)
    mounted.tolerated = [r"is stopped: replacing it", RESTARTED]  # that comes after some seconds: test_stopped.py
    stopped = mounted.children[1]
    stop([stopped])
    try:
        for _ in range(3):
            for path, contents in FILES.items():
                assert (mounted.path / path).read_bytes() == contents
    finally:
        send([stopped], signal.SIGCONT)
