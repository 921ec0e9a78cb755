"""Storage that fails, hangs, loses or changes the archive: an error for what it concerns, the rest goes on."""

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ffrfs import ChecksumError, PackedFolder, TruncatedError
from tests.support.archives import packed_folder, write_archive, write_tree
from tests.support.cache import drop
from tests.support.errnos import fails_with
from tests.support.faulty_storage import faulty_storage
from tests.support.processes import ffrfs, wait_until
from tests.support.trees import content

LARGE_BYTES = (3 << 20) + 17
TREE = {
    b"first": content(30_000, 1),
    b"large": content(LARGE_BYTES),
    b"second": content(30_000, 2),
    b"small": {b"%03d" % number: content(10_000, number) for number in range(100)},
}
EIO_LINE = r"failed: .*Input/output error|could not read ahead"


def place_of(archive, contents):
    """Where in an archive file these contents lie."""
    return archive.read_bytes().index(contents)


def damage(archive, contents):
    """Flip one bit in the middle of these contents."""
    data = bytearray(archive.read_bytes())
    data[data.index(contents) + len(contents) // 2] ^= 0x10
    archive.write_bytes(data)


def assert_reads(folder, tree=TREE, but=()):
    """Assert that every file of a tree can be read and is right, except those named, which are not read."""
    for name, contents in tree.items():
        if isinstance(contents, dict):
            assert_reads(folder / os.fsdecode(name), contents, but)
        elif name not in but:
            assert (folder / os.fsdecode(name)).read_bytes() == contents


@pytest.mark.semantics("bad-record")
@pytest.mark.parametrize("name", [b"first", b"large"])
def test_a_flipped_bit_is_an_error_for_its_file_only(mount, tmp_path, name):
    archive = write_archive(tmp_path / "a.ffr", TREE)
    damage(archive, TREE[name])
    mounted = mount(archive)
    mounted.tolerated = [rf"a\.ffr: {name.decode()} \(record \d+\), \d+ bytes at byte \d+, has checksum"]
    for _ in range(3):
        with fails_with("EIO"):
            (mounted.path / name.decode()).read_bytes()
    with fails_with("EIO"), open(mounted.path / name.decode(), "rb") as file:
        os.pread(file.fileno(), 10, len(TREE[name]) - 10)
    assert_reads(mounted.path, but={name})
    assert (mounted.path / name.decode()).stat().st_size == len(TREE[name])
    lines = [line for line in mounted.log.read_text().splitlines() if "has checksum" in line]
    assert lines
    assert all("it should be 0x" in line and "at byte" in line for line in lines)


@pytest.mark.semantics("bad-record")
def test_a_flipped_bit_in_a_large_file_whose_chunks_the_index_knows(mount, tmp_path):
    """As packing leaves it: only what is in the chunk of 1 MiB is lost."""
    archive = tmp_path / "a.ffr"
    done = ffrfs("pack", write_tree(tmp_path / "tree", TREE), archive)
    assert done.returncode == 0, done
    status = os.stat(archive)
    damage(archive, TREE[b"large"])
    os.utime(archive, ns=(status.st_atime_ns, status.st_mtime_ns))
    mounted = mount(archive)
    mounted.tolerated = [r"a\.ffr: large \(record \d+\), \d+ bytes at byte \d+, has checksum"]
    with open(mounted.path / "large", "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for begin in (0, LARGE_BYTES - 5000):
            assert os.pread(file.fileno(), 5000, begin) == TREE[b"large"][begin:][:5000]
        for _ in range(2):
            with fails_with("EIO"):
                os.pread(file.fileno(), 5000, LARGE_BYTES // 2)
    assert_reads(mounted.path, but={b"large"})
    assert "has checksum" in mounted.log.read_text()


def test_large_files_that_many_read_at_first_are_right_for_all(mount, tmp_path):
    """Each worker checks them, in any order: no lock may take that for a deadlock."""
    tree = {b"%d" % number: content((8 << 20) + number, number) for number in range(4)}
    mounted = mount(write_archive(tmp_path / "a.ffr", tree))

    def read(reader):
        numbers = random.Random(reader)
        for name in numbers.sample(sorted(tree), len(tree)):
            with open(mounted.path / os.fsdecode(name), "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                for _ in range(4):
                    begin = numbers.randrange(8 << 20)
                    assert os.pread(file.fileno(), 4096, begin) == tree[name][begin:][:4096]

    with ThreadPoolExecutor(16) as readers:
        for _ in readers.map(read, range(16)):
            pass


@pytest.mark.semantics("bad-record", "reader-bad-record")
def test_a_flipped_bit_in_process(tmp_path):
    archive = write_archive(tmp_path / "a.ffr", TREE)
    damage(archive, TREE[b"first"])
    with PackedFolder(archive) as folder:
        with pytest.raises(ChecksumError, match=r"first: .*record 0, 30000 bytes at byte") as caught:
            folder.read_one("first")
        assert caught.value.record == 0
        with pytest.raises(ChecksumError):
            folder.read(["second", "first"])
        assert folder.read_one("second").tobytes() == TREE[b"second"]
    with PackedFolder(archive, check_data=False) as folder:
        assert len(folder.read_one("first")) == 30_000
    done = ffrfs("verify", archive)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1 and "first (record 0)" in done.stderr
    assert done.stdout.startswith("104 records, 1 damaged")


@pytest.mark.semantics("replaced")
def test_an_archive_replaced_under_a_mount_is_shown_as_it_was(mount, tmp_path):
    mounted = mount(write_archive(tmp_path / "a.ffr", TREE))
    assert (mounted.path / "first").read_bytes() == TREE[b"first"]
    write_archive(tmp_path / "new.ffr", {b"other": b"other", b"first": b"other"}).rename(tmp_path / "a.ffr")
    drop(mounted.path)
    assert_reads(mounted.path)
    assert not (mounted.path / "other").exists()


@pytest.mark.semantics("deleted")
def test_an_archive_deleted_under_a_mount_is_shown_as_it_was(mount, tmp_path):
    mounted = mount(write_archive(tmp_path / "a.ffr", TREE))
    mounted.archive.unlink()
    assert_reads(mounted.path)


@pytest.mark.semantics("truncated")
def test_an_archive_cut_short_under_a_mount(mount, tmp_path):
    mounted = mount(write_archive(tmp_path / "a.ffr", TREE))
    mounted.tolerated = [r"a\.ffr: the file ends at byte \d+, it was longer before", "was changed while it is mounted"]
    os.truncate(mounted.archive, place_of(mounted.archive, TREE[b"large"]) + 100)
    with fails_with("EIO"):
        (mounted.path / "large").read_bytes()
    with fails_with("EIO"):
        (mounted.path / "second").read_bytes()


@pytest.mark.semantics("truncated", "reader-truncated")
def test_an_archive_cut_short_under_a_reader(tmp_path):
    archive = write_archive(tmp_path / "a.ffr", TREE)
    with PackedFolder(archive) as folder:
        os.truncate(archive, place_of(archive, TREE[b"large"]) + 100)
        with pytest.raises(TruncatedError, match="the file ends at byte"):
            folder.read_one("large")
        with pytest.raises(TruncatedError):
            folder.read(["first", "second"])
        assert folder.read_one("first").tobytes() == TREE[b"first"]


@pytest.mark.semantics("changed-in-place")
def test_an_archive_overwritten_in_place_is_never_shown_as_a_mixture(mount, tmp_path):
    other = {**TREE, b"first": content(30_000, 101), b"second": content(30_000, 102), b"large": content(LARGE_BYTES, 9)}
    mounted = mount(write_archive(tmp_path / "a.ffr", TREE))
    mounted.tolerated = [r"a\.ffr was changed while it is mounted", "has checksum"]
    for name in ("first", "large"):
        assert (mounted.path / name).read_bytes() == TREE[name.encode()]
    with open(mounted.archive, "r+b") as file:
        file.write(packed_folder(other))
    drop(mounted.path)
    for name in (b"first", b"second", b"large"):
        with fails_with("EIO"):
            (mounted.path / name.decode()).read_bytes()
    assert_reads(mounted.path, but={b"first", b"second", b"large"})


@pytest.mark.semantics("changed-in-place")
def test_an_archive_overwritten_in_place_by_one_of_the_same_size_and_mtime(mount, tmp_path):
    """As `cp -p` and `rsync -t` do it: only ctime tells."""
    other = {**TREE, b"first": content(30_000, 101), b"large": content(LARGE_BYTES, 9)}
    archive = write_archive(tmp_path / "a.ffr", TREE)
    mounted = mount(archive)
    mounted.tolerated = ["has checksum"]
    for name in ("first", "large"):
        assert (mounted.path / name).read_bytes() == TREE[name.encode()]
    status = os.stat(archive)
    with open(archive, "r+b") as file:
        file.write(packed_folder(other))
    os.utime(archive, ns=(status.st_atime_ns, status.st_mtime_ns))
    drop(mounted.path)
    for name in (b"first", b"large"):
        with fails_with("EIO"):
            (mounted.path / name.decode()).read_bytes()
    assert_reads(mounted.path, but={b"first", b"large"})


@pytest.mark.semantics("changed-in-place")
def test_an_archive_that_was_repaired_in_place_reads_again(mount, tmp_path):
    archive = write_archive(tmp_path / "a.ffr", TREE)
    good = archive.read_bytes()
    damage(archive, TREE[b"second"])
    mounted = mount(archive)
    mounted.tolerated = [r"a\.ffr was changed while it is mounted", "has checksum"]
    with fails_with("EIO"):
        (mounted.path / "second").read_bytes()
    with open(archive, "r+b") as file:
        file.write(good)
    assert_reads(mounted.path)


@pytest.mark.semantics("io-error")
def test_an_io_error_of_the_storage_is_one_of_the_mount_until_it_is_over(mount, tmp_path):
    (tmp_path / "below").mkdir()
    archive = write_archive(tmp_path / "below" / "a.ffr", TREE)
    begin = place_of(archive, TREE[b"large"])
    with faulty_storage(tmp_path / "below", tmp_path) as storage:
        mounted = mount(storage.path / "a.ffr", "prefetch=0")
        mounted.tolerated = [EIO_LINE]
        storage.set("eio", begin, begin + LARGE_BYTES)
        for _ in range(2):
            with fails_with("EIO"):
                (mounted.path / "large").read_bytes()
        assert_reads(mounted.path, but={b"large", b"first", b"second"})
        storage.set("ok")
        assert_reads(mounted.path)
        mounted.unmount()


@pytest.mark.semantics("io-error", "reader-io-error")
def test_an_io_error_of_the_storage_in_process(fuse, tmp_path):
    (tmp_path / "below").mkdir()
    archive = write_archive(tmp_path / "below" / "a.ffr", TREE)
    begin = place_of(archive, TREE[b"large"])
    with faulty_storage(tmp_path / "below", tmp_path) as storage, PackedFolder(storage.path / "a.ffr") as folder:
        storage.set("eio", begin, begin + LARGE_BYTES)
        for read in (folder.read_one, lambda name: folder.read([name, "small/001"])):
            with fails_with("EIO"):
                read("large")
        assert folder.read_one("small/099").tobytes() == TREE[b"small"][b"099"]
        storage.set("eio")
        for arguments in (["ls"], ["verify"], ["info"]):
            done = ffrfs(*arguments, storage.path / "a.ffr")
            assert (done.returncode, done.stderr.count("\n")) == (1, 1)
            assert "Input/output error" in done.stderr
        storage.set("ok")
        assert folder.read_one("large").tobytes() == TREE[b"large"]


class Hanging:
    """A reader of a file whose storage hangs, in a process of its own."""

    def __init__(self, path):
        self.process = subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.begin = time.monotonic()

    def end(self):
        self.process.kill()
        return self.process.wait(10)


@pytest.fixture
def hanging(mount, tmp_path):
    """A mount whose large file cannot be read, for storage hangs there, and the storage."""
    (tmp_path / "below").mkdir()
    archive = write_archive(tmp_path / "below" / "a.ffr", TREE)
    begin = place_of(archive, TREE[b"large"])
    with faulty_storage(tmp_path / "below", tmp_path) as storage:
        mounted = mount(storage.path / "a.ffr", "prefetch=0")
        storage.set("hang", begin, begin + LARGE_BYTES)
        yield mounted, storage
        storage.set("ok")
        if mounted.is_mounted():
            mounted.unmount()


@pytest.mark.semantics("hanging-others")
def test_other_files_are_served_while_storage_hangs(hanging):
    mounted, storage = hanging
    readers = [Hanging(mounted.path / "large") for _ in range(8)]
    time.sleep(0.5)
    begin = time.monotonic()
    for number in range(100):
        assert (mounted.path / "small" / f"{number:03}").read_bytes() == TREE[b"small"][b"%03d" % number]
    assert sorted(os.listdir(mounted.path)) == ["first", "large", "second", "small"]
    assert time.monotonic() - begin < 30
    assert [reader.process.poll() for reader in readers] == [None] * 8
    storage.set("ok")
    assert [reader.process.wait(30) for reader in readers] == [0] * 8
    assert (mounted.path / "large").read_bytes() == TREE[b"large"]


@pytest.mark.semantics("hanging-worker")
def test_who_waits_for_storage_is_not_taken_for_hanging(hanging):
    mounted, storage = hanging
    everybody = mounted.processes
    reader = Hanging(mounted.path / "large")
    time.sleep(12)  # four looks of the supervisor
    assert reader.process.poll() is None
    storage.set("ok")
    assert reader.process.wait(30) == 0
    assert mounted.processes == everybody


@pytest.mark.semantics("hanging-interruptible")
def test_a_reader_can_be_killed_while_storage_hangs(hanging):
    mounted, _ = hanging
    reader = Hanging(mounted.path / "large")
    time.sleep(0.3)
    assert reader.end() == -signal.SIGKILL
    assert (mounted.path / "small" / "000").read_bytes() == TREE[b"small"][b"000"]


@pytest.mark.semantics("hanging-stoppable")
def test_a_mount_can_be_stopped_while_storage_hangs(hanging):
    mounted, storage = hanging
    reader = Hanging(mounted.path / "large")
    time.sleep(0.3)
    os.kill(mounted.supervisor, signal.SIGTERM)
    wait_until(lambda: not mounted.is_mounted(), "the name is gone", 5)
    os.kill(mounted.supervisor, signal.SIGTERM)
    wait_until(lambda: "left behind" in mounted.log.read_text(), "the log says what is the matter", 15)
    mounted.tolerated = ["SIGTERM again", "left behind, as each waits for storage that hangs"]
    mounted.status = 1
    wait_until(lambda: not Path(f"/proc/{mounted.supervisor}/cmdline").read_bytes(), "the supervisor has ended", 15)
    storage.set("ok")
    reader.end()
    mounted.wait_for_end()


@pytest.mark.semantics("daemon-killed")
def test_a_daemon_killed_while_storage_hangs_leaves_no_reader_hanging(hanging, root):
    """Its workers wait in the kernel, where no signal reaches them, and keep the connection open."""
    mounted, storage = hanging
    reader = Hanging(mounted.path / "large")
    time.sleep(0.5)
    mounted.status = -signal.SIGKILL
    os.kill(mounted.supervisor, signal.SIGKILL)
    assert reader.process.wait(20) != 0
    with fails_with("ENOTCONN", "ECONNABORTED"):
        os.statvfs(mounted.path)
    storage.set("ok")
    mounted.wait_for_end(leaves_mount=True)
