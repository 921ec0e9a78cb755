"""Reading from a mount is reading from a local file system, in every way that programs read."""

import fcntl
import mmap
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.cache import drop
from tests.support.errnos import fails_with
from tests.support.processes import wait_until
from tests.support.trees import EDGE_SIZES, SAMPLE, content

LARGE = EDGE_SIZES[-1]
SIZES = [0, 1, 4096, 4097, 131_071, LARGE]


@pytest.fixture
def opened(sample, request):
    """A file of the mount of the size asked for, open, its cached pages dropped, and what is to be read."""
    path = sample.mount.path / "sizes" / f"{request.param}.bin"
    drop(path)
    fd = os.open(path, os.O_RDONLY)
    yield fd, content(request.param)
    os.close(fd)


def places(size):
    """Offsets and lengths around every border of a file."""
    edges = {0, 1, 4095, 4096, size // 2, size - 4097, size - 4096, size - 1, size, size + 1, size + 10_000_000}
    return [(at, length) for at in sorted(edges) if at >= 0 for length in (0, 1, 4096, 100_000, size + 1)]


@pytest.mark.semantics("pread")
@pytest.mark.parametrize("opened", SIZES, indirect=True)
def test_pread_anywhere(opened):
    fd, expected = opened
    for at, length in places(len(expected)):
        assert os.pread(fd, length, at) == expected[at : at + length]


@pytest.mark.semantics("seek")
@pytest.mark.parametrize("opened", SIZES, indirect=True)
def test_seek_and_read(opened):
    fd, expected = opened
    for at, length in reversed(places(len(expected))):
        assert os.lseek(fd, at, os.SEEK_SET) == at
        assert os.read(fd, length) == expected[at : at + length]
    assert os.lseek(fd, 0, os.SEEK_END) == len(expected)
    assert os.lseek(fd, 5, os.SEEK_CUR) == len(expected) + 5
    assert os.read(fd, 1) == b""
    with fails_with("EINVAL"):
        os.lseek(fd, -1, os.SEEK_SET)


@pytest.mark.semantics("seek")
@pytest.mark.parametrize("opened", [LARGE], indirect=True)
def test_a_file_has_no_holes(opened):
    fd, expected = opened
    assert os.lseek(fd, 0, os.SEEK_DATA) == 0
    assert os.lseek(fd, 0, os.SEEK_HOLE) == len(expected)
    with fails_with("ENXIO"):
        os.lseek(fd, len(expected), os.SEEK_DATA)


@pytest.mark.semantics("preadv")
@pytest.mark.parametrize("opened", [LARGE], indirect=True)
def test_scattered_reads(opened):
    fd, expected = opened
    buffers = [bytearray(length) for length in (1, 4095, 70_000, 1, 500_000)]
    assert os.preadv(fd, buffers, 3) == sum(map(len, buffers))
    assert b"".join(buffers) == expected[3 : 3 + sum(map(len, buffers))]


@pytest.mark.semantics("mmap")
@pytest.mark.parametrize("kind", [mmap.MAP_SHARED, mmap.MAP_PRIVATE])
@pytest.mark.parametrize("opened", SIZES[1:], indirect=True)
def test_mmap(opened, kind):
    fd, expected = opened
    with mmap.mmap(fd, 0, flags=kind, prot=mmap.PROT_READ) as view:
        numbers = random.Random(1)
        for _ in range(50):
            at = numbers.randrange(len(expected))
            assert view[at : at + 5000] == expected[at : at + 5000]
        assert view[:] == expected


@pytest.mark.semantics("mmap")
@pytest.mark.parametrize("opened", [4097], indirect=True)
def test_a_private_map_can_be_written_and_a_shared_one_cannot(opened):
    fd, expected = opened
    with mmap.mmap(fd, 0, access=mmap.ACCESS_COPY) as view:
        view[0:1] = b"!"
        assert os.pread(fd, 1, 0) == expected[:1]
    with fails_with("EACCES"):
        mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)


@pytest.mark.semantics("sendfile")
@pytest.mark.parametrize("opened", SIZES, indirect=True)
def test_sendfile(opened, tmp_path):
    fd, expected = opened
    with open(tmp_path / "out", "wb") as out:
        done = 0
        while count := os.sendfile(out.fileno(), fd, done, 1 << 20):
            done += count
    assert (tmp_path / "out").read_bytes() == expected


@pytest.mark.semantics("splice")
@pytest.mark.parametrize("opened", SIZES, indirect=True)
def test_splice(opened):
    fd, expected = opened
    reader, writer = os.pipe()
    try:
        received = b""
        while count := os.splice(fd, writer, 65_536, offset_src=len(received)):
            received += os.read(reader, count)
        assert received == expected
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.semantics("direct")
@pytest.mark.parametrize("size", SIZES)
def test_direct_reads(sample, size):
    fd = os.open(sample.mount.path / "sizes" / f"{size}.bin", os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 1 << 20) as aligned:
            received = b""
            while count := os.preadv(fd, [aligned], len(received)):
                received += aligned[:count]
        assert received == content(size)
    finally:
        os.close(fd)


@pytest.mark.semantics("advice")
@pytest.mark.parametrize("opened", [LARGE], indirect=True)
def test_advice_changes_nothing(opened):
    fd, expected = opened
    advices = ("NORMAL", "SEQUENTIAL", "RANDOM", "WILLNEED", "NOREUSE", "DONTNEED")
    for advice in (getattr(os, f"POSIX_FADV_{name}") for name in advices):
        os.posix_fadvise(fd, 0, 0, advice)
        assert os.pread(fd, len(expected), 0) == expected


@pytest.mark.semantics("locks")
@pytest.mark.parametrize("opened", [4096], indirect=True)
def test_locks_hold_between_processes_of_the_node(opened, sample):
    fd, _ = opened
    other = (
        "import fcntl, os, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "for lock in (fcntl.flock, fcntl.lockf):\n"
        "    try:\n"
        "        lock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)\n"
        "        print('free')\n"
        "    except BlockingIOError:\n"
        "        print('held')\n"
    )

    def seen_by_others():
        path = sample.mount.path / "sizes" / "4096.bin"
        return subprocess.run([sys.executable, "-c", other, path], capture_output=True, text=True, timeout=60).stdout

    assert seen_by_others() == "free\nfree\n"
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert seen_by_others() == "held\nfree\n"
    fcntl.flock(fd, fcntl.LOCK_UN)


@pytest.mark.semantics("concurrent")
def test_many_threads_read_everything(sample):
    files = list(sample.file_pairs()) * 2
    random.Random(2).shuffle(files)
    drop(sample.mount.path)
    drop(sample.archive)

    def same(pair):
        real, shown = pair
        return real.read_bytes() == shown.read_bytes()

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(same, files))


def read_parts(path, seed, seconds_of_reads):
    """Read random parts of a large file; ends the process with 1 if one is wrong."""
    expected = content(LARGE)
    numbers = random.Random(seed)
    fd = os.open(path, os.O_RDONLY)
    for _ in range(seconds_of_reads):
        at, length = numbers.randrange(LARGE), numbers.randrange(1, 300_000)
        if os.pread(fd, length, at) != expected[at : at + length]:
            os._exit(1)
        if numbers.random() < 0.1:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os._exit(0)


@pytest.mark.semantics("concurrent")
def test_many_processes_read_one_file(sample):
    path = sample.mount.path / "sizes" / f"{LARGE}.bin"
    context = multiprocessing.get_context("fork")
    readers = [context.Process(target=read_parts, args=(path, seed, 300)) for seed in range(6)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(120)
    assert [reader.exitcode for reader in readers] == [0] * 6


@pytest.mark.semantics("dropped-cache")
def test_what_was_read_reads_again_after_the_caches_are_dropped(sample):
    for _ in range(3):
        for real, shown in sample.file_pairs():
            if real.parent.name != "wide":
                drop(shown)
                assert shown.read_bytes() == real.read_bytes()
        drop(sample.archive)


@pytest.mark.semantics("kept-open")
def test_an_open_file_outlives_the_name_of_its_mount(mount):
    mounted = mount({b"f": content(LARGE), b"g": b"g"})
    fd = os.open(mounted.path / "f", os.O_RDONLY)
    start = os.pread(fd, 10, 0)
    os.kill(mounted.supervisor, signal.SIGTERM)
    wait_until(lambda: not mounted.is_mounted(), "the name is gone")
    assert start + os.pread(fd, LARGE, 10) == content(LARGE)
    os.close(fd)
    mounted.wait_for_end()


@pytest.mark.semantics("no-xattrs")
def test_there_are_no_extended_attributes(sample):
    for ask in (lambda path: os.getxattr(path, "user.comment"), os.listxattr):
        with fails_with("ENOTSUP"):
            ask(sample.mount.path / "top")


@pytest.mark.semantics("not-executable")
def test_files_cannot_be_executed(mount):
    path = mount({b"script": b"#!/bin/sh\necho no\n"}).path / "script"
    with fails_with("EACCES"):
        subprocess.run([path], timeout=60)
    assert not os.access(path, os.X_OK)


@pytest.mark.semantics("hidden-folder")
def test_the_statistics_folder_is_not_listed(sample):
    assert ".ffrfs" not in os.listdir(sample.mount.path)
    assert (sample.mount.path / ".ffrfs" / "stats").read_text().startswith("{")
    assert SAMPLE.keys() == {os.fsencode(name) for name in os.listdir(sample.mount.path)}
