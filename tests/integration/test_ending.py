"""How a mount ends: unmounted, told to stop, killed."""

import contextlib
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ffrfs.mount.mountpoint import find_mount, list_mounts
from tests.support.archives import write_archive
from tests.support.cache import drop
from tests.support.errnos import fails_with
from tests.support.mounts import fusectl, mounted
from tests.support.processes import command, cpu_ticks, ffrfs, wait_until

MANY = {b"%03d" % number: bytes([number]) * 100_000 for number in range(40)}


def read_all(folder):
    """Read every file with several threads at once."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda path: path.read_bytes(), sorted(folder.iterdir())))


@pytest.mark.semantics("umount")
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
    for ask in (os.statvfs, lambda path: os.stat(path / "absent")):
        with fails_with("ENOTCONN", "ECONNABORTED"):
            ask(mounted.path)
    assert read_all(mounted.path) == list(MANY.values()), "what the kernel has is right"


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
    assert find_mount(str(mounted.path)) is None


@pytest.mark.semantics("interrupted")
def test_interrupted_readers_leave_no_line_in_the_log(mount):
    mounted = mount({b"large": bytes(200 << 20)})
    for _ in range(5):
        drop(mounted.archive)
        reader = subprocess.Popen(["cat", mounted.path / "large"], stdout=subprocess.DEVNULL)
        time.sleep(0.1)
        reader.kill()
        reader.wait()
        drop(mounted.path / "large")


@pytest.mark.semantics("second-signal")
def test_a_second_signal_does_not_wait_for_open_files(mount):
    mounted = mount(MANY)
    mounted.tolerated = ["SIGTERM again: not waiting for open files any longer"]
    fd = os.open(mounted.path / "000", os.O_RDONLY)
    try:
        os.kill(mounted.supervisor, signal.SIGTERM)
        wait_until(lambda: not mounted.is_mounted(), "the name is gone")
        assert mounted.processes
        os.kill(mounted.supervisor, signal.SIGTERM)
        mounted.wait_for_end()
        with fails_with("ENOTCONN", "ECONNABORTED"):
            os.fstatvfs(fd)
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)


@pytest.mark.semantics("foreground")
@pytest.mark.parametrize("end", ["umount", "SIGTERM", "SIGINT"])
def test_in_the_foreground_the_command_lasts_as_long_as_the_mount(fuse, workers, tmp_path, end):
    archive, place = write_archive(tmp_path / "a.ffr", MANY), tmp_path / "mnt"
    place.mkdir()
    arguments = command("mount", "-f", archive, place, "-o", f"workers={workers}")
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: find_mount(str(place)) is not None and len(os.listdir(place)) == len(MANY), "it is mounted")
        assert read_all(place) == list(MANY.values())
        assert process.poll() is None
        if end == "umount":
            assert ffrfs("umount", place).returncode == 0
        else:
            process.send_signal(signal.Signals[end])
        _, log = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in log and " ERROR " not in log and " WARNING " not in log
    assert find_mount(str(place)) is None


@pytest.mark.semantics("umount")
@pytest.mark.parametrize("way", [["umount"], ["umount", "-l"], ["fusermount3", "-u"]], ids=" ".join)
def test_any_way_of_unmounting_ends_everything(root, mount, way):
    mounted = mount(MANY)
    assert (mounted.path / "001").read_bytes() == MANY[b"001"]
    subprocess.run([*way, mounted.path], check=True, timeout=60)
    mounted.wait_for_end()


@pytest.mark.semantics("umount")
def test_an_aborted_connection_is_a_failure(root, mount):
    mounted = mount(MANY)
    mounted.tolerated, mounted.status = ["was aborted; the dead mount stays"], 1
    fusectl(f"echo 1 > {find_mount(str(mounted.path)).connection}/abort")
    mounted.wait_for_end(leaves_mount=True)


@pytest.mark.semantics("nothing-left")
def test_many_mounts_leave_nothing_behind(mount, tmp_path):
    archive = write_archive(tmp_path / "a.ffr", {b"f": b"contents"})
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        mounted = mount(archive)
        assert (mounted.path / "f").read_bytes() == b"contents"
        mounted.unmount()  # which looks for processes and mounts
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert len([place for place in list_mounts() if str(tmp_path) in place.mountpoint]) == 0


@pytest.mark.semantics("background")
def test_the_daemon_keeps_neither_terminal_nor_folder_nor_standard_streams(mount):
    mounted = mount(MANY)
    for pid in mounted.processes:
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert {os.readlink(f"/proc/{pid}/fd/{stream}") for stream in range(3)} == {"/dev/null"}
        assert os.getsid(pid) != os.getsid(0)


@pytest.mark.semantics("idle")
def test_an_idle_mount_uses_no_cpu_time(fuse, tmp_path):
    archive = write_archive(tmp_path / "a.ffr", MANY)
    with mounted(archive, tmp_path, "workers=16") as mount:
        assert read_all(mount.path) == list(MANY.values())
        processes = mount.processes
        assert len(processes) == 19  # and the supervisor, who reads ahead, and the guardian

        def ticks_within(seconds):
            before = sum(map(cpu_ticks, processes))
            time.sleep(seconds)
            return sum(map(cpu_ticks, processes)) - before

        wait_until(lambda: ticks_within(0.5) == 0, "what was asked for is done")
        assert ticks_within(5) <= 1  # the supervisor looks now and then whether somebody hangs, in microseconds
