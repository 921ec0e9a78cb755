"""Processes of a mount that are stopped or hang, and requests that got lost: nobody waits for ever."""

import json
import os
import signal
import threading

import pytest

from tests.support.processes import has_ended, stop, wait_until
from tests.support.readers import reading
from tests.support.trees import content

FILES = {f"{number}/{size}": content(size, number) for number in range(4) for size in (4097, 60_000, 300_000)}
TREE = {}
for path, contents in FILES.items():
    TREE.setdefault(path[:1].encode(), {})[path[2:].encode()] = contents
STUCK = FILES["0/4097"]

SECONDS = 30.0  # generous: it takes eight
REPLACED = r"process \d+ (is stopped|hangs in a request): replacing it"
RESTARTED = r"process \d+ ended with status -9; starting another"
ABORTED = r"requests have waited for a minute, and no process has them: aborting|the connection of .* was aborted"


def counters(mounted):
    return json.loads((mounted.path / ".ffrfs" / "stats").read_text())["counters"]


def can_resend(mounted):
    return "sends requests again" in mounted.log.read_text()


def read_all(mounted):
    for path, contents in FILES.items():
        assert (mounted.path / path).read_bytes() == contents


def replaced_under_load(mounted, victim):
    mounted.tolerated = [REPLACED, RESTARTED]
    everybody = len(mounted.children)
    with reading(mounted.path, FILES, 4) as outcome:
        stop([victim])
        wait_until(lambda: has_ended(victim), "the stopped process is ended", SECONDS)
        wait_until(lambda: len(mounted.children) == everybody, "it has a successor", SECONDS)
        read_all(mounted)
    assert outcome.wrong == []
    assert outcome.right > 0
    assert outcome.longest_seconds < SECONDS
    read_all(mounted)
    assert counters(mounted)["replaced_processes"] == counters(mounted)["restarts"] == 1
    return set(outcome.errors)


@pytest.mark.semantics("stopped-worker")
def test_a_stopped_worker_is_replaced(mount):
    mounted = mount(TREE)
    errors = replaced_under_load(mounted, mounted.children[0])
    assert errors <= (set() if can_resend(mounted) else {"ECONNABORTED", "EINTR"})


@pytest.mark.semantics("stopped-worker")
def test_a_stopped_worker_is_replaced_on_an_older_kernel(mount, monkeypatch):
    monkeypatch.setenv("FFRFS_NO_RESEND", "1")
    mounted = mount(TREE)
    assert replaced_under_load(mounted, mounted.children[0]) <= {"ECONNABORTED", "EINTR"}


@pytest.mark.semantics("stopped-worker")
def test_who_reads_ahead_is_replaced(mount):
    mounted = mount(TREE)
    assert replaced_under_load(mounted, mounted.children[-2]) == set()  # the last is the guardian


@pytest.mark.semantics("stopped-worker")
def test_a_stopped_supervisor_delays_nobody(mount):
    mounted = mount(TREE)
    stop([mounted.supervisor])
    try:
        read_all(mounted)
    finally:
        os.kill(mounted.supervisor, signal.SIGCONT)


@pytest.mark.semantics("stopped-worker")
def test_all_processes_that_were_stopped_go_on(mount):
    """As a batch system does it: nobody is taken for hanging."""
    mounted = mount(TREE)
    everybody = mounted.processes
    stop(everybody)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    read_all(mounted)
    assert mounted.processes == everybody


@pytest.mark.semantics("hanging-worker")
@pytest.mark.parametrize("way", ["loop", "lock"])
def test_a_worker_that_hangs_is_replaced(mount, monkeypatch, way):
    """What it hangs in is answered by a process of its own, without the cache that hangs."""
    monkeypatch.setenv("FFRFS_TEST_STUCK", "4097")
    monkeypatch.setenv("FFRFS_TEST_WAY", way)
    mounted = mount(TREE, "prefetch=0", module="tests.support.stuck")
    if not can_resend(mounted):
        pytest.skip("before Linux 6.9 it is not known what a worker has in hand")
    mounted.tolerated = [REPLACED, RESTARTED]
    assert (mounted.path / "0" / "4097").read_bytes() == STUCK
    assert counters(mounted)["replaced_processes"] >= 1
    assert (mounted.path / "1" / "300000").read_bytes() == FILES["1/300000"]


@pytest.mark.semantics("lost-request")
def test_a_lost_request_is_sent_again(root, mount, monkeypatch, tmp_path):
    monkeypatch.setenv("FFRFS_TEST_STUCK", "4097")
    monkeypatch.setenv("FFRFS_TEST_WAY", str(tmp_path / "lost"))
    mounted = mount(TREE, "prefetch=0", module="tests.support.stuck")
    if not can_resend(mounted):
        pytest.skip("this kernel sends nothing again")
    assert (mounted.path / "0" / "4097").read_bytes() == STUCK
    assert (tmp_path / "lost").exists()
    wait_until(lambda: counters(mounted)["resends"] == 1, "it is counted", SECONDS)  # after it was sent


@pytest.mark.semantics("lost-request")
def test_a_request_that_is_lost_again_and_again_ends_the_connection(root, mount, monkeypatch):
    monkeypatch.setenv("FFRFS_TEST_STUCK", "4097")
    monkeypatch.setenv("FFRFS_TEST_WAY", "lose")
    mounted = mount(TREE, "prefetch=0", module="tests.support.stuck")
    if not can_resend(mounted):
        pytest.skip("before Linux 6.9 it is not known what a worker has in hand")
    mounted.tolerated, mounted.status = [ABORTED], 1
    errors = []

    def read():
        try:
            (mounted.path / "0" / "4097").read_bytes()
        except OSError as error:
            errors.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    mounted.wait_for_end(leaves_mount=True)
    reader.join(SECONDS)
    assert len(errors) == 1
