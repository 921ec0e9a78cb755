"""How a mount ends: unmounted, told to stop, killed."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ffrfs.daemon.mountpoint import list_mounts
from tests.support.cache import drop
from tests.support.errnos import fails_with
from tests.support.processes import wait_until

MANY = {b"%03d" % number: bytes([number]) * 100_000 for number in range(40)}


def read_all(folder):
    """Read every file with several threads at once."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda path: path.read_bytes(), sorted(folder.iterdir())))


def test_a_mount_that_has_waited_for_storage_ends_when_unmounted(mount):
    mounted = mount(MANY)
    drop(mounted.archive)
    assert read_all(mounted.path) == list(MANY.values())
    mounted.unmount()


@pytest.mark.semantics("stopping")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_and_ends_with_status_0(mount, number):
    mounted = mount(MANY)
    drop(mounted.archive)
    assert read_all(mounted.path) == list(MANY.values())
    os.kill(mounted.supervisor, number)
    mounted.wait_for_end()


@pytest.mark.semantics("daemon-killed")
def test_a_killed_supervisor_takes_its_workers_along_and_leaves_a_visibly_dead_mount(mount):
    mounted = mount(MANY)
    drop(mounted.archive)
    assert read_all(mounted.path) == list(MANY.values())
    mounted.status = -signal.SIGKILL
    os.kill(mounted.supervisor, signal.SIGKILL)
    wait_until(lambda: not mounted.processes, "the workers have ended", 2)
    assert mounted.is_mounted()
    for ask in (os.statvfs, os.listdir):
        with fails_with("ENOTCONN", "ECONNABORTED"):
            ask(mounted.path)


@pytest.mark.semantics("stale-cleaned")
def test_the_next_mount_cleans_a_dead_one(mount):
    first = mount(MANY)
    first.status = -signal.SIGKILL
    first.kill()
    first.wait_for_end(leaves_mount=True)
    second = mount(first.archive, path=first.path, says=r".*cleaned a dead mount at .*\n")
    assert read_all(second.path) == list(MANY.values())
    assert len([m for m in list_mounts() if m.mountpoint == str(second.path)]) == 1
    second.unmount()


@pytest.mark.semantics("stale-cleaned")
def test_umount_ends_a_dead_mount(mount):
    mounted = mount(MANY)
    mounted.status = -signal.SIGKILL
    mounted.kill()
    mounted.wait_for_end(leaves_mount=True)
    mounted.unmount()


def test_interrupted_readers_leave_no_line_in_the_log(mount):
    mounted = mount({b"large": bytes(200 << 20)})
    for _ in range(5):
        drop(mounted.archive)
        reader = subprocess.Popen(["cat", mounted.path / "large"], stdout=subprocess.DEVNULL)
        time.sleep(0.1)
        reader.kill()
        reader.wait()
        drop(mounted.path / "large")
