"""What a mount shows: contents, names, sizes, attributes, directories."""

import itertools
import os
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ffrfs import PackedFolder
from tests.support.archives import archive_of
from tests.support.directories import Directory
from tests.support.errnos import fails_with
from tests.support.trees import EDGE_SIZES, content

VECTORS = Path(__file__).parent.parent / "data" / "vectors"


def run(*command):
    """Run a program that must succeed and say nothing to standard error; returns its output."""
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


@pytest.mark.semantics("contents")
def test_diff_is_silent(sample):
    assert run("diff", "-r", "--no-dereference", sample.folder, sample.mount.path) == b""


@pytest.mark.semantics("contents")
def test_programs_copy_it(sample, tmp_path):
    run("cp", "-a", sample.mount.path, tmp_path / "cp")
    assert run("diff", "-r", sample.folder, tmp_path / "cp") == b""
    run("sh", "-c", f"tar -C '{sample.mount.path}' -cf - . | tar -C '{tmp_path}/cp' -df -")
    assert run("rsync", "-rcn", "--out-format=%n", f"{sample.mount.path}/", f"{tmp_path}/cp/") == b""


@pytest.mark.semantics("sizes")
@pytest.mark.parametrize("size", EDGE_SIZES)
def test_sizes_around_every_limit(sample, size):
    path = sample.mount.path / "sizes" / f"{size}.bin"
    assert path.stat().st_size == size
    assert path.read_bytes() == content(size)


@pytest.mark.semantics("names")
def test_names_of_any_bytes(sample):
    shown = os.listdir(os.fsencode(sample.mount.path / "names"))
    assert sorted(shown) == sorted(os.listdir(os.fsencode(sample.folder / "names")))


@pytest.mark.semantics("names")
def test_names_that_are_not_there(sample):
    for name in ("nothing", "top/below", "names/" + "y" * 255, "Top"):
        with fails_with("ENOENT", "ENOTDIR"):
            os.stat(sample.mount.path / name)
    with fails_with("ENAMETOOLONG"):
        os.stat(sample.mount.path / ("y" * 256))


@pytest.mark.semantics("empty-directories")
def test_empty_directories_are_there(sample):
    assert os.listdir(sample.mount.path / "empty") == []
    assert sorted(os.listdir(sample.mount.path / "of directories")) == list("01234")


@pytest.mark.semantics("empty-directories")
def test_an_archive_of_nothing_is_an_empty_mount(mount):
    assert os.listdir(mount({}).path) == []


@pytest.mark.semantics("numbered-files")
def test_records_without_a_tree_are_numbered(mount, tmp_path):
    records = [content(100, seed) for seed in range(12)]
    archive = tmp_path / "records.ffr"
    archive.write_bytes(archive_of(records))
    shown = mount(archive).path
    assert sorted(os.listdir(shown)) == [f"{number:02}" for number in range(12)]
    assert [(shown / f"{number:02}").read_bytes() for number in range(12)] == records


@pytest.mark.semantics("shards")
def test_a_folder_of_shards_is_one_tree(mount):
    mounted = mount(VECTORS / "sharded")
    with PackedFolder(VECTORS / "sharded") as folder:
        paths = folder.list(list_dir=False, recursive=True)
        assert {path: (mounted.path / path).read_bytes() for path in paths} == {
            path: folder.read_one(path).tobytes() for path in paths
        }


@pytest.mark.semantics("modes")
def test_modes_and_owner(sample):
    for _, shown in sample.pairs():
        status = shown.lstat()
        assert status.st_mode == (stat.S_IFDIR | 0o555 if shown.is_dir() else stat.S_IFREG | 0o444)
        assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


@pytest.mark.semantics("modes")
def test_owner_and_modes_can_be_set(mount):
    shown = mount({b"f": b"", b"d": {}}, "uid=1234,gid=4321,umask=027").path
    for path, mode in ((shown, 0o550), (shown / "d", 0o550), (shown / "f", 0o440)):
        status = path.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 4321, mode)


@pytest.mark.semantics("times")
def test_all_times_are_the_archive_s(sample):
    archive = sample.archive.stat().st_mtime_ns
    for _, shown in sample.pairs():
        status = shown.stat()
        assert {status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns} == {archive}


@pytest.mark.semantics("inodes")
def test_inodes_are_unique_and_stay_over_remounts(mount, sample):
    inodes = {shown.relative_to(sample.mount.path): shown.stat().st_ino for _, shown in sample.pairs()}
    assert len(set(inodes.values())) == len(inodes)
    again = mount(sample.archive).path
    assert {path: (again / path).stat().st_ino for path in inodes} == inodes
    assert again.stat().st_ino == sample.mount.path.stat().st_ino == 1


@pytest.mark.semantics("links")
def test_link_counts(sample):
    for real, shown in sample.pairs():
        directories = sum(child.is_dir() for child in real.iterdir()) if real.is_dir() else -1
        assert shown.stat().st_nlink == 2 + directories


@pytest.mark.semantics("blocks")
def test_sizes_and_blocks(sample):
    for real, shown in sample.file_pairs():
        status = shown.stat()
        assert status.st_size == real.stat().st_size
        assert status.st_blocks == -(-status.st_size // 512)
        assert status.st_blksize == 4096


@pytest.mark.semantics("statfs")
def test_statfs_has_the_totals(sample):
    total = sum(real.stat().st_size for real, _ in sample.file_pairs())
    found = os.statvfs(sample.mount.path)
    assert found.f_blocks == -(-total // found.f_frsize)
    assert found.f_files == 1 + sum(1 for _ in sample.pairs())
    assert (found.f_bfree, found.f_bavail, found.f_ffree, found.f_favail) == (0, 0, 0, 0)
    assert found.f_namemax == 255
    assert found.f_flag & os.ST_RDONLY


@pytest.mark.semantics("listing")
def test_listings_are_in_the_order_of_names_with_dots_first(sample):
    for path in (sample.mount.path, *(path for _, path in sample.pairs() if path.is_dir())):
        directory = Directory(path)
        names = directory.names()
        directory.close()
        assert names[:2] == [b".", b".."]
        assert names[2:] == sorted(os.listdir(os.fsencode(sample.folder / path.relative_to(sample.mount.path))))


@pytest.mark.semantics("listing-resumed")
def test_a_listing_goes_on_where_it_was(sample):
    directory = Directory(sample.mount.path / "wide")
    places, names = [], []
    while True:
        places.append(directory.tell())
        more = directory.names(7)
        if not more:
            break
        names.append(more)
    for number in range(0, len(names), 13):
        directory.seek(places[number])
        assert directory.names(7) == names[number]
    directory.close()
    assert list(itertools.chain(*names)) == [b".", b"..", *(b"%05d" % number for number in range(3000))]


@pytest.mark.semantics("listing-resumed")
def test_many_list_at_once(sample):
    expected = sorted(os.listdir(sample.folder / "wide"))

    def listing(_):
        return sorted(os.listdir(sample.mount.path / "wide"))

    with ThreadPoolExecutor(8) as pool:
        assert all(names == expected for names in pool.map(listing, range(24)))


@pytest.mark.semantics("dots")
def test_paths_through_dots(sample):
    deep = sample.mount.path / "deep" / "level0"
    fd = os.open(deep, os.O_RDONLY)
    try:
        for up, path in (("..", deep.parent), ("../..", deep.parent.parent), (".", deep), ("../../top/..", None)):
            if path is not None:
                assert os.path.samestat(os.stat(up, dir_fd=fd), os.stat(path))
            else:
                with fails_with("ENOTDIR"):
                    os.stat(up, dir_fd=fd)
    finally:
        os.close(fd)


@pytest.mark.semantics("find")
def test_walks_by_many_find_everything(sample):
    counts = []

    def walk():
        counts.append(sum(1 for _ in sample.mount.path.rglob("*")))

    threads = [threading.Thread(target=walk) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [sum(1 for _ in sample.pairs())] * 4
