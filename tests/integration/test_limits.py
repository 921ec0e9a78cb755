"""A mount that is given little: memory, descriptors. It goes on serving every byte right."""

import os
import resource
import signal
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest

from ffrfs import PackedFolder, pack_folder
from tests.support.archives import write_archive
from tests.support.cache import drop
from tests.support.cgroups import memory_limit
from tests.support.errnos import fails_with
from tests.support.pool import PooledFiles
from tests.support.processes import ffrfs, wait_until
from tests.support.readers import reading
from tests.support.trees import content

MEMORY_BYTES = 128 << 20
READERS = 8
SECONDS = 8
TREE = {b"%02d" % number: content(20_000 * number, number) for number in range(20)}


def sizes():
    """Three times the memory that the daemon may have, in files of every kind of size."""
    small = {f"small/{number:03}": 1_000 + 331 * number for number in range(300)}
    middle = {f"middle/{number:02}": 700_000 + 50_000 * number for number in range(60)}
    large = {f"large/{number}": 50_000_000 for number in range(4)}
    return small | middle | large


@pytest.mark.semantics("little-memory")
def test_a_daemon_with_128_mb_serves_8_readers(mount, tmp_path):
    files = PooledFiles(sizes())
    pack_folder(files.write(tmp_path / "folder"), tmp_path / "a.ffr")
    with memory_limit(MEMORY_BYTES) as group:
        with group.inside():
            mounted = mount(tmp_path / "a.ffr")
        assert set(mounted.processes) == set(group.processes())
        end = time.monotonic() + SECONDS
        with reading(mounted.path, files, READERS, ("whole", "parts", "map", "list")) as outcome:
            while time.monotonic() < end:
                drop(tmp_path / "a.ffr")
                drop(mounted.path)
                time.sleep(1)
        mounted.unmount()
        print(f"\n{outcome}, most memory {group.peak_bytes() >> 20} MiB")
        assert group.kills() == 0
        assert group.peak_bytes() <= MEMORY_BYTES
    assert (outcome.wrong, outcome.errors) == ([], {})
    assert outcome.right > SECONDS * READERS


@pytest.mark.semantics("few-descriptors")
@pytest.mark.parametrize("limit", [6, 9, 12, 16, 20])
def test_too_few_descriptors_are_one_line(fuse, tmp_path, limit):
    archive, place = write_archive(tmp_path / "a.ffr", TREE), tmp_path / "mnt"
    place.mkdir()
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))}
    done = ffrfs("mount", archive, place, "--log", tmp_path / "log", **few)
    if done.returncode == 0:
        ffrfs("umount", place)
    assert done.returncode in (1, 3)
    assert done.stderr.count("\n") == 1
    assert "open files" in done.stderr
    assert not os.path.ismount(place)


@contextmanager
def no_more_descriptors(processes):
    """Have processes keep the descriptors that they have and get no further ones."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in processes}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


@pytest.mark.semantics("few-descriptors")
def test_a_mount_without_a_descriptor_to_spare(mount, workers):
    """Readers may have any number of files open, and a worker that is killed comes back when there are descriptors."""
    mounted = mount(TREE)
    mounted.tolerated = ["Too many open files", r"ended with status (-9|3); starting another"]
    everybody = mounted.children
    with ExitStack() as files:
        with no_more_descriptors([mounted.supervisor, *everybody]):
            for number in range(600):
                name = b"%02d" % (number % len(TREE))
                file = files.enter_context(open(mounted.path / name.decode(), "rb"))
                assert file.read() == TREE[name]
            assert len(os.listdir(mounted.path)) == len(TREE)
            os.kill(everybody[0], signal.SIGKILL)
            wait_until(lambda: "Too many open files" in mounted.log.read_text(), "a successor has failed")
            assert workers == 1 or (mounted.path / "19").read_bytes() == TREE[b"19"]
        assert (mounted.path / "18").read_bytes() == TREE[b"18"]
    wait_until(lambda: len(mounted.children) == len(everybody), "there is a successor")


@pytest.mark.semantics("reader-few-descriptors")
def test_a_reader_that_may_not_open_all_shards(tmp_path):
    (tmp_path / "shards").mkdir()
    for number in range(40):
        write_archive(tmp_path / "shards" / f"{number:02}.ffr", {})
    before = len(os.listdir("/proc/self/fd"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, limits[1]))
    try:
        with fails_with("EMFILE"):
            PackedFolder(tmp_path / "shards")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(os.listdir("/proc/self/fd")) == before
