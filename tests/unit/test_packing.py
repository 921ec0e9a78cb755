"""pack_folder: the reference's bytes for what can be packed, an error and no archive for what cannot."""

import os
import socket
import subprocess
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from ffrfs import ConfigError, PackedFolder, PackError, pack_folder
from ffrfs.archive.index_file import find_index_file, save_index_file
from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.format.chunks import chunk_checksums
from ffrfs.pack import copy as copying
from ffrfs.pack.copy import PIECE_BYTES, PIECE_FILES
from ffrfs.pack.unpack import unpack
from tests.support.archives import archive_of, tree_record
from tests.support.reference_packer import reference_archive

VECTORS = Path(__file__).parent.parent / "data" / "vectors"
PIECES = 3


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.ffr"


def write(path, data=b"data"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def many_files(source):
    """Enough small files for several pieces, so that the last is not read before the first is written."""
    return [write(source / f"{number:04d}", b"%d" % number) for number in range(PIECES * PIECE_FILES)]


def names(archive):
    with PackedFolder(archive) as folder:
        return sorted(map(str, folder.list(recursive=True)))


def assert_nothing_left(out):
    assert not [name for name in os.listdir(out.parent) if out.name in name]


def test_the_reference_archive_is_packed_again_byte_for_byte(source, out):
    unpack(VECTORS / "folder.ffr", source, force=True)
    packed = pack_folder(source, out)
    assert out.read_bytes() == (VECTORS / "folder.ffr").read_bytes()
    assert (packed.files, packed.archives) == (322, [str(out)])


@pytest.mark.parametrize("jobs", [1, 2, 16, 40])
def test_any_number_of_jobs_packs_the_same(source, out, monkeypatch, jobs):
    waits = iter(range(0, 1 << 40, 1 << 20))
    # As if every read waited for storage, which a test cannot make its page cache do.
    monkeypatch.setattr(copying, "_waits", lambda: next(waits))
    many_files(source)
    write(source / "large", os.urandom(3 * PIECE_BYTES + 5))
    write(source / "exact", os.urandom(PIECE_BYTES))
    write(source / "zz" / "last", b"z")
    pack_folder(source, out, jobs=jobs)
    assert out.read_bytes() == reference_archive(source)


def test_sizes_around_a_piece(source, out):
    for size in (0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 2 * PIECE_BYTES + 1):
        write(source / str(size), os.urandom(size))
    pack_folder(source, out)
    assert out.read_bytes() == reference_archive(source)


def test_an_empty_folder_and_empty_subfolders(source, out):
    pack_folder(source, out)
    assert out.read_bytes() == reference_archive(source)
    (source / "a" / "b").mkdir(parents=True)
    (source / "c").mkdir()
    pack_folder(str(source) + "/", str(out))
    assert out.read_bytes() == reference_archive(source)
    assert names(out) == ["a", "a/b", "c"]


def test_names_of_any_bytes(source, out):
    for name in [
        b"\xff\xfe",
        b"\xc3\xa9",
        "😀".encode(),
        b"\xed\xb3\xbf",
        b" ",
        b"\n",
        b"-rf",
        b"a" * 255,
        b"\x7f\x01",
    ]:
        Path(os.fsdecode(os.path.join(os.fsencode(source), name))).write_bytes(name)
    pack_folder(source, out)
    assert out.read_bytes() == reference_archive(source)
    with PackedFolder(out) as folder:
        assert all(folder.read_one(name).tobytes() == os.fsencode(name) for name in os.listdir(source))


def test_order_is_that_of_strings_not_of_bytes(source, out):
    # U+E000 comes after the lone surrogates that stand for bytes which are no UTF-8, though its own bytes are smaller.
    for name in ["\ue000", "\udcff", "\U00010000", "a", "a.b", "a-b", "B"]:
        write(source / name / "x", name.encode("utf-8", "surrogateescape"))
        write(source / (name + "f"))
    pack_folder(source, out)
    assert out.read_bytes() == reference_archive(source)


def test_names_of_one_character_are_shared_in_the_pickle_as_cpython_shares_them(source, out):
    for folder in ("a", "b", "é", "long"):
        for name in ("a", "é", "ā", "long", "collections", "OrderedDict"):
            write(source / folder / name)
    pack_folder(source, out)
    assert out.read_bytes() == reference_archive(source)


def test_a_tree_of_many_pickle_frames_and_batches(source, out):
    for number in range(2500):
        write(source / "many" / f"{number:04d}{'x' * 60}", b"")
    write(source / "one" / "single")
    pack_folder(source, out)
    assert out.read_bytes() == reference_archive(source)


def test_a_deep_tree(source, out):
    levels = 1100  # more than the recursion limit
    descriptor = os.open(source, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    limit = sys.getrecursionlimit()
    pack_folder(source, out)
    assert sys.getrecursionlimit() == limit
    with PackedFolder(out) as folder:
        assert folder.is_file("d/" * levels + "file")
        assert folder.num_files() == 1
    unpack(out, target := source.parent / "target")
    subprocess.run(["diff", "-r", source, target], check=True)
    subprocess.run(["rm", "-r", source, target], check=True)  # too deep for Python's rmtree, and so for pytest


def test_packing_again_replaces(source, out):
    write(source / "a")
    pack_folder(source, out)
    write(source / "b")
    pack_folder(source, out)
    assert out.read_bytes() == reference_archive(source)
    assert sorted(os.listdir(out.parent)) == ["out.ffr", "source"]


def test_symlinks_are_followed(source, out, tmp_path):
    write(tmp_path / "elsewhere" / "x", b"x")
    write(source / "file", b"file")
    (source / "link-to-file").symlink_to("file")
    (source / "link-to-link").symlink_to("link-to-file")
    (source / "link-outside").symlink_to(tmp_path / "elsewhere")
    (source / "folder").mkdir()
    (source / "folder" / "sibling").symlink_to("../link-outside")
    pack_folder(source, out)
    assert out.read_bytes() == reference_archive(source)


def test_the_folder_itself_may_be_a_symlink(source, out, tmp_path):
    write(source / "file")
    (tmp_path / "link").symlink_to(source)
    pack_folder(tmp_path / "link", out, symlinks="error")
    assert names(out) == ["file"]


def test_symlinks_are_skipped(source, out):
    write(source / "file")
    (source / "dangling").symlink_to("nowhere")
    (source / "loop").symlink_to(".")
    (source / "link").symlink_to("file")
    pack_folder(source, out, symlinks="skip")
    assert names(out) == ["file"]


def test_symlinks_are_an_error(source, out):
    (source / "link").symlink_to("file")
    with pytest.raises(PackError, match=r"source/link: it is a symlink, to 'file'"):
        pack_folder(source, out, symlinks="error")
    assert_nothing_left(out)


@pytest.mark.parametrize(
    ("link", "target", "problem"),
    [
        ("link", "nowhere", "it is a symlink to 'nowhere', which cannot be followed: No such file"),
        ("link", "link", "which cannot be followed: Too many levels of symbolic links"),
        ("link", "file/x", "which cannot be followed: Not a directory"),
        ("link", ".", "this symlink leads back"),
        ("a/b/link", "../..", "this symlink leads back"),
    ],
)
def test_symlinks_that_lead_nowhere_or_in_circles(source, out, link, target, problem):
    write(source / "file")
    (source / "a" / "b").mkdir(parents=True)
    (source / link).symlink_to(target)
    with pytest.raises(PackError, match=f"source/{link}: .*{problem}"):
        pack_folder(source, out)
    assert_nothing_left(out)


def test_two_folders_that_link_to_each_other(source, out):
    (source / "a").mkdir()
    (source / "b").mkdir()
    (source / "a" / "b").symlink_to("../b")
    (source / "b" / "a").symlink_to("../a")
    with pytest.raises(PackError, match="source/a/b/a: this symlink leads back"):
        pack_folder(source, out)


def test_a_fifo_is_an_error(source, out):
    os.mkfifo(source / "fifo")
    with pytest.raises(PackError, match="source/fifo: it is a FIFO"):
        pack_folder(source, out)
    (source / "fifo").rename(source.parent / "fifo")
    (source / "link").symlink_to("../fifo")
    with pytest.raises(PackError, match="source/link: it is a FIFO"):
        pack_folder(source, out)
    assert_nothing_left(out)


def test_a_socket_is_an_error(out):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(folder, "socket"))
        with pytest.raises(PackError, match="/socket: it is a socket"):
            pack_folder(folder, out)


def test_a_device_is_an_error(source, out):
    (source / "null").symlink_to("/dev/null")
    with pytest.raises(PackError, match="source/null: it is a character device"):
        pack_folder(source, out)


class Once:
    """A progress callback that does something the first time, which is after the scan and before the first read,
    or when some bytes are written."""

    def __init__(self, action, after_bytes=0):
        self.action, self.after_bytes = action, after_bytes

    def __call__(self, files_done, bytes_done, files_total, bytes_total):
        if self.action is not None and bytes_done >= self.after_bytes:
            action, self.action = self.action, None
            action()


def replaced(path, data):
    def action():
        status = path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return action


def to_fifo(path):
    def action():
        path.unlink()
        os.mkfifo(path)

    return action


@pytest.mark.parametrize("after_bytes", [0, 1], ids=["before-the-first", "in-the-middle"])
@pytest.mark.parametrize("jobs", [1, 4])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda path: path.unlink, "vanished"),
        (lambda path: replaced(path, b"much longer than before"), "changed"),
        (lambda path: replaced(path, b""), "changed"),
        (lambda path: lambda: path.write_bytes(path.read_bytes()), "changed"),
        (to_fifo, "changed"),
    ],
    ids=["vanishes", "grows", "shrinks", "is-written-to", "becomes-a-fifo"],
)
def test_a_file_that_changes_while_it_is_packed(source, out, jobs, change, problem, after_bytes):
    last = many_files(source)[-1]
    os.utime(last, ns=(1, 1))
    with pytest.raises(PackError, match=rf"source/{last.name}: it {problem}"):
        pack_folder(source, out, jobs=jobs, progress=Once(change(last), after_bytes))
    assert_nothing_left(out)


def test_a_large_file_that_grows_while_it_is_packed(source, out):
    large = write(source / "large", bytes(4 * PIECE_BYTES))

    def grow():
        with large.open("ab") as file:
            file.write(b"more")

    with pytest.raises(PackError, match="large: it changed"):
        pack_folder(source, out, progress=Once(grow, PIECE_BYTES))
    assert_nothing_left(out)


def test_a_symlink_put_in_the_place_of_a_file_is_not_followed(source, out):
    file = write(source / "file")

    def swap():
        file.rename(source.parent / "other")
        file.symlink_to("../other")

    with pytest.raises(OSError, match=r"symbolic links.*source/file"):
        pack_folder(source, out, symlinks="error", progress=Once(swap))
    assert_nothing_left(out)


@pytest.mark.parametrize("inside", ["out.ffr", "a/out.ffr"])
def test_the_archive_cannot_be_in_the_folder_that_it_packs(source, inside):
    (source / "a").mkdir()
    with pytest.raises(PackError, match="written into the folder that it packs"):
        pack_folder(source, source / inside)
    assert os.listdir(source) == ["a"]


def test_nor_reach_it_through_symlinks(source, tmp_path):
    (tmp_path / "target").mkdir()
    (source / "link").symlink_to("../target")
    with pytest.raises(PackError, match="source/link: the archive would be written into"):
        pack_folder(source, tmp_path / "target" / "out.ffr")
    (tmp_path / "into").symlink_to(source)
    with pytest.raises(PackError, match="source: the archive would be written into"):
        pack_folder(source, tmp_path / "into" / "out.ffr")
    pack_folder(source, tmp_path / "target" / "out.ffr", symlinks="skip")


UNPRIVILEGED = """
import os, sys
from ffrfs import pack_folder
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
pack_folder(*sys.argv[1:])
"""


def test_what_cannot_be_read_is_an_error_with_its_path():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        secret = write(Path(folder) / "source" / "secret")
        for unreadable in (secret, secret.parent):
            unreadable.chmod(0)
            packed = subprocess.run(
                [sys.executable, "-c", UNPRIVILEGED, secret.parent, Path(folder) / "out.ffr"],
                capture_output=True,
                text=True,
            )
            assert f"PermissionError: [Errno 13] Permission denied: '{unreadable}'" in packed.stderr
        secret.parent.chmod(0o700)
        assert os.listdir(folder) == ["source"]


def test_a_folder_that_is_none(source, out):
    with pytest.raises(FileNotFoundError) as missing:
        pack_folder(source / "nowhere", out)
    assert missing.value.filename == str(source / "nowhere")
    with pytest.raises(NotADirectoryError):
        pack_folder(write(source / "file"), out)
    with pytest.raises(FileNotFoundError) as missing:
        pack_folder(source, source.parent / "nowhere" / "out.ffr")
    assert missing.value.filename == str(source.parent / "nowhere")


def test_a_full_disk_leaves_nothing(source, small_disk):
    write(source / "large", bytes(20_000_000))
    with pytest.raises(OSError, match="No space left"):
        pack_folder(source, small_disk / "out.ffr")
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"symlinks": "maybe"}, "follow, skip, error, not 'maybe'"),
        ({"jobs": 0}, "at least 1 job"),
        ({"shards": 0}, "at least 1 shard"),
        ({"shard_bytes": 0}, "at least 1 byte"),
        ({"shards": 2, "shard_bytes": 100}, "not both"),
        ({"executor": object()}, "give their number or size too"),
    ],
)
def test_options_that_make_no_sense(source, out, options, problem):
    with pytest.raises(ConfigError, match=problem):
        pack_folder(source, out, **options)


def test_the_name_must_end_in_ffr(source):
    with pytest.raises(ConfigError, match=r"must end in \.ffr"):
        pack_folder(source, source.parent / "out.tar")


def test_progress_counts_up_to_the_totals(source, out):
    many_files(source)
    write(source / "large", bytes(2 * PIECE_BYTES + 1))
    calls = []
    packed = pack_folder(source, out, progress=lambda *counts: calls.append(counts))
    assert calls == sorted(calls) and len(calls) > 5
    assert calls[0] == (0, 0, packed.files, packed.size_bytes)
    assert calls[-1] == (packed.files, packed.size_bytes) * 2
    assert packed.files == PIECES * PIECE_FILES + 1


def test_verbose_prints_the_lines_of_the_reference(source, out, capsys):
    for number in range(11):
        write(source / f"{number:02d}")
    Path(os.fsdecode(os.path.join(os.fsencode(source), b"\xff"))).write_bytes(b"")
    pack_folder(source, out, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"00/12 {source}/00"
    assert lines[-1] == f"11/12 {source}/\\xff"
    assert len(lines) == 12


@pytest.mark.parametrize("options", [{}, {"shards": 3}, {"shard_bytes": 4 << 20, "jobs": 1}])
def test_packing_gives_the_checksums_of_all_chunks(tmp_path, options):
    folder = tmp_path / "folder"
    folder.mkdir()
    numbers = np.random.default_rng(5)
    sizes = [0, 100, 1 << 20, (1 << 20) + 1, (2 << 20) - 5, 2 << 20, (5 << 20) + 3, 200]
    for number, size in enumerate(sizes):
        (folder / f"{number}").write_bytes(numbers.bytes(size))
    out = tmp_path / ("out" if options else "a.ffr")
    packed = pack_folder(folder, out, **options)
    shards = Shards(out)
    index = build(shards).with_all_chunks(packed.chunk_checksums)
    large = [(folder / f"{number}").read_bytes() for number in range(3, 7)]
    sums = [sum for contents in large for sum in chunk_checksums(contents)]
    assert index.arrays["chunk_checksums"].tolist() == sums
    assert save_index_file(index, shards) is not None
    found = find_index_file(shards)
    assert found is not None and found[1].arrays["chunks_known"].all()
    shards.close()


@pytest.mark.semantics("links-and-holes")
def test_hard_links_and_sparse_files_are_packed_in_full(tmp_path):
    source = tmp_path / "links"
    source.mkdir()
    (source / "a").write_bytes(b"contents")
    os.link(source / "a", source / "b")
    with (source / "sparse").open("wb") as file:
        file.truncate(1 << 20)
    pack_folder(source, tmp_path / "links.ffr")
    assert (tmp_path / "links.ffr").read_bytes() == reference_archive(source)
    assert (tmp_path / "links.ffr").stat().st_size > 1 << 20


@pytest.mark.semantics("links-and-holes")
def test_an_archive_with_two_names_for_one_record_shows_it_under_both(tmp_path):
    names = OrderedDict([("a", 0), ("b", OrderedDict([("c", 0)])), ("d", 1)])
    (tmp_path / "two.ffr").write_bytes(archive_of([b"shared", b"other", tree_record(names)]))
    with PackedFolder(tmp_path / "two.ffr") as folder:
        assert [data.tobytes() for data in folder.read(["a", "b/c", "d"])] == [b"shared", b"shared", b"other"]
        assert folder.num_files() == 3
    unpack(tmp_path / "two.ffr", tmp_path / "out")
    assert (tmp_path / "out" / "b" / "c").read_bytes() == (tmp_path / "out" / "a").read_bytes() == b"shared"
