"""Shards of one archive are told from archives that lie together, by every way in."""

import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import fsspec
import pytest

from ffrfs import FileReader, FormatError, PackedFolder, pack_folder
from ffrfs.archive.index_file import find_index_file, save_index_file
from ffrfs.archive.opening import build, load_index
from ffrfs.archive.shards import Shards
from ffrfs.detectron2 import FFRecordPathHandler
from ffrfs.mm import FFRecordClient
from ffrfs.pack.unpack import unpack
from tests.support.archives import archive_of, packed_folder, tree_record, write_archive

pytestmark = pytest.mark.semantics("one-archive")

VECTORS = Path(__file__).parent.parent / "data" / "vectors"
NOT_ONE = "the files are not the shards of one archive: "


def tree(name, files=4):
    return {b"%d.txt" % number: b"%s %d" % (name, number) for number in range(files)}


def plain(records=4):
    return archive_of([b"plain %d" % number for number in range(records)])


@pytest.fixture
def both(tmp_path):
    """A folder with two archives, whose names are the same."""
    folder = tmp_path / "both"
    folder.mkdir()
    write_archive(folder / "train.ffr", tree(b"train"))
    write_archive(folder / "val.ffr", tree(b"val"))
    return folder


READERS = {
    "PackedFolder": PackedFolder,
    "FileReader": FileReader,
    "FFRecordClient": lambda archive: FFRecordClient(archive).get("1.txt"),
    "detectron2": lambda archive: FFRecordPathHandler(archive, "root"),
    "unpack": lambda archive: unpack(archive, "unpacked"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("given", ["folder", "list", "reversed"])
def test_two_archives_are_refused_and_named(both, tmp_path, monkeypatch, reader, given):
    monkeypatch.chdir(tmp_path)
    paths = [str(both / name) for name in sorted(os.listdir(both), reverse=given == "reversed")]
    with pytest.raises(FormatError, match=NOT_ONE + r"each of (train|val).ffr, (train|val).ffr has a tree") as caught:
        READERS[reader](both if given == "folder" else paths)
    assert "name the archive that is meant, or put each archive into a folder of its own" in str(caught.value)
    assert os.listdir(tmp_path) == ["both"]


def test_fsspec_refuses_them(both):
    with pytest.raises(FormatError, match=NOT_ONE):
        fsspec.filesystem("ffr", fo=str(both))


@pytest.mark.parametrize(
    "command", [["ls"], ["info"], ["verify"], ["index"], ["cat", "1.txt"], ["unpack", "out"], ["mount", "mnt"]]
)
def test_commands_refuse_them(both, tmp_path, command):
    if command[0] == "mount":
        (tmp_path / "mnt").mkdir()
        pytest.importorskip("pyfuse3")
    name, *rest = command
    done = subprocess.run(
        [sys.executable, "-m", "ffrfs", name, both, *rest], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)
    assert NOT_ONE in done.stderr
    assert sorted(os.listdir(both)) == ["train.ffr", "val.ffr"]


@pytest.mark.parametrize("files", [(4, 4), (0, 4), (9, 1), (1, 9), (4, 0), (0, 0)])
def test_whatever_their_sizes(tmp_path, files):
    for name, count in zip((b"a", b"b"), files, strict=True):
        write_archive(tmp_path / f"{name.decode()}.ffr", tree(name, count))
    for reader in (PackedFolder, FileReader):
        with pytest.raises(FormatError, match=NOT_ONE):
            reader(tmp_path)


@pytest.mark.parametrize("order", [("plain", "packed"), ("packed", "plain"), ("plain", "packed", "plain")])
def test_a_packed_folder_beside_an_archive_of_plain_records(tmp_path, order):
    paths = [tmp_path / f"{number}.ffr" for number in range(len(order))]
    for path, kind in zip(paths, order, strict=True):
        path.write_bytes(plain() if kind == "plain" else packed_folder(tree(b"packed")))
    for reader in (PackedFolder, FileReader):
        with pytest.raises(FormatError, match=NOT_ONE + r"the tree of names in \d.ffr numbers 4 of (9|13) records"):
            reader(paths)


def test_shards_and_an_archive_that_has_come_to_them(tmp_path):
    (tmp_path / "source").mkdir()
    for number in range(9):
        (tmp_path / "source" / str(number)).write_text(str(number))
    pack_folder(tmp_path / "source", tmp_path / "out", shards=3)
    assert PackedFolder(tmp_path / "out").num_files() == FileReader(tmp_path / "out").n - 1 == 9
    for name in ("AAA.ffr", "PART_00001a.ffr", "copy.ffr"):
        for content in (plain(), packed_folder(tree(b"x"))):
            (tmp_path / "out" / name).write_bytes(content)
            with pytest.raises(FormatError, match=NOT_ONE):
                FileReader(tmp_path / "out")
            with pytest.raises(FormatError, match=NOT_ONE):
                PackedFolder(tmp_path / "out")
        (tmp_path / "out" / name).unlink()


def test_one_archive_twice(both):
    for reader in (PackedFolder, FileReader):
        with pytest.raises(FormatError, match=NOT_ONE):
            reader([both / "val.ffr"] * 2)


def test_an_index_that_an_earlier_version_has_kept_is_not_used(both, monkeypatch):
    monkeypatch.setattr("ffrfs.archive.opening.check_index", lambda *_: None)
    shards = Shards(both)
    kept = save_index_file(build(shards), shards)
    monkeypatch.undo()
    assert kept is not None and find_index_file(shards) is None
    with pytest.raises(FormatError, match=NOT_ONE):
        load_index(shards)
    shards.close()


def test_shards_of_plain_records_are_one_archive(tmp_path):
    for name in ("a.ffr", "b.ffr"):
        (tmp_path / name).write_bytes(plain())
    with FileReader(tmp_path) as reader:
        assert reader.n == 8
    shards = Shards(tmp_path)
    assert load_index(shards).files == 8
    shards.close()


def test_the_shards_of_the_reference_are_one_archive():
    assert PackedFolder(VECTORS / "sharded").num_files() == FileReader(VECTORS / "sharded").n - 1


def test_empty_shards_do_no_harm(tmp_path):
    (tmp_path / "a.ffr").write_bytes(archive_of([]))
    write_archive(tmp_path / "b.ffr", tree(b"b"))
    (tmp_path / "c.ffr").write_bytes(archive_of([]))
    assert PackedFolder(tmp_path).read_one("1.txt").tobytes() == b"b 1"


def test_a_file_that_looks_like_a_tree_at_the_end_of_a_shard(tmp_path):
    """What was packed can be anything: only the last tree says how many records there are."""
    inner = tree_record(OrderedDict([("x", 0)]))
    names = tree_record(OrderedDict([("a", 0), ("b", 1), ("c", 2)]))
    (tmp_path / "PART_00000.ffr").write_bytes(archive_of([b"a", inner]))
    (tmp_path / "PART_00001.ffr").write_bytes(archive_of([b"c", names]))
    with PackedFolder(tmp_path) as folder:
        assert folder.read_one("b").tobytes() == inner


def test_files_that_begin_as_trees_do_in_shards_of_plain_records(tmp_path):
    for name in ("a.ffr", "b.ffr"):
        (tmp_path / name).write_bytes(archive_of([b"1", b"piouhjgbr and no tree"]))
    with FileReader(tmp_path) as reader:
        assert reader.n == 4


def test_a_damaged_tree_does_not_keep_records_from_being_read(tmp_path):
    (tmp_path / "a.ffr").write_bytes(plain())
    damaged = bytearray(packed_folder(tree(b"b")))
    damaged[-2] ^= 1
    (tmp_path / "b.ffr").write_bytes(damaged)
    with FileReader(tmp_path) as reader:
        assert reader.read_one(5).tobytes() == b"b 1"
