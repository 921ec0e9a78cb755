"""The index: sorted rows, lookup, paths, and the file it is kept in."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from ffrfs.archive.index_file import find_index_file, index_file_paths, save_index_file
from ffrfs.archive.opening import load_index
from ffrfs.archive.shards import Shards
from ffrfs.errors import FormatError, RecordIndexError
from ffrfs.format.header import TREE_MAGIC, crc32, encode_header
from ffrfs.format.index import ROOT_INODE, Index, build_index
from ffrfs.format.records import Records
from ffrfs.format.tree import parse_tree


def records_of(n):
    lengths = np.arange(n, dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    return Records(offsets, lengths, np.zeros(n, np.uint32), np.array([0, n]))


def index_of(structure, n=100):
    return build_index("x.ffr", parse_tree("x.ffr", pickle.dumps(structure, 4), 0, n, 0), records_of(n))


STRUCTURE = OrderedDict(
    [
        ("b", OrderedDict([("\udcff", 3), ("é", 4), ("z", 5), ("empty", OrderedDict())])),
        ("a.jpg", 7),
        ("c", OrderedDict()),
    ]
)


def test_rows_are_sorted_by_bytes_and_contiguous():
    index = index_of(STRUCTURE)
    assert [index.name(i) for i in index.children(ROOT_INODE)] == [b"a.jpg", b"b", b"c"]
    b = index.lookup(ROOT_INODE, b"b")
    assert [index.name(i) for i in index.children(b)] == [b"empty", b"z", "é".encode(), b"\xff"]
    assert [index.path(i) for i in index.walk()] == [
        b"a.jpg",
        b"b",
        b"b/empty",
        b"b/z",
        "b/é".encode(),
        b"b/\xff",
        b"c",
    ]
    assert (index.files, index.directories, len(index)) == (4, 4, 8)


def test_lookup_finds_every_name_and_no_other():
    index = index_of(STRUCTURE)
    for inode in index.walk():
        assert index.lookup(index.parent(inode), index.name(inode)) == inode
        assert index.lookup(inode, index.name(inode)) == 0
    for name in (b"", b"a", b"a.jpg\0", b"A.JPG", b"."):
        assert index.lookup(ROOT_INODE, name) == 0
        assert index.lookup(len(index) + 1, name) == 0


def test_names_with_one_key_are_told_apart():
    names = sorted(f"{kind}_of_a_long_name_{number:03}" for kind in "ab" for number in range(300))
    index = index_of(OrderedDict((name, 0) for name in [*names, "a", "b_of_a_long_name_"]))
    assert len(set(index.arrays["keys"].tolist())) < 10
    for inode in index.children(ROOT_INODE):
        assert index.lookup(ROOT_INODE, index.name(inode)) == inode
    for name in (b"a_of_a_long_name_", b"a_of_a_long_name_300", b"b_of_a_long_name_0000", b"a_of_a_"):
        assert index.lookup(ROOT_INODE, name) == 0


def test_links_and_sizes():
    index = index_of(STRUCTURE)
    b = index.lookup(ROOT_INODE, b"b")
    assert index.links(ROOT_INODE) == 4
    assert index.links(b) == 3
    assert index.size(index.lookup(b, b"z")) == 5
    assert index.file_bytes == 3 + 4 + 5 + 7


def test_an_empty_folder_has_an_index():
    index = index_of(OrderedDict(), n=1)
    assert len(index) == 1
    assert list(index.walk()) == []
    assert index.lookup(ROOT_INODE, b"a") == 0


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0", "x" * 256, "\udc80" * 256])
def test_names_that_no_file_system_shows_are_refused(name):
    with pytest.raises(FormatError):
        index_of(OrderedDict([("ok", 1), (name, 2)]))


def test_names_of_255_bytes_are_allowed():
    name = "\udc80" * 255
    index = index_of(OrderedDict([(name, 1)]))
    assert index.lookup(ROOT_INODE, b"\x80" * 255) == 2


def test_a_name_twice_in_a_directory_is_refused():
    # A dict cannot hold one name twice, a pickle of one can.
    blob = b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00aK\x00X\x01\x00\x00\x00aK\x01u."
    with pytest.raises(FormatError, match="twice"):
        build_index("x.ffr", parse_tree("x.ffr", blob, 0, 2, 0), records_of(2))


def test_record_numbers_are_checked():
    records = records_of(3)
    assert records.check(2) == 2
    for number in (-1, 3):
        with pytest.raises(RecordIndexError, match="0 to 2"):
            records.check(number)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive of 10 files, in a folder that can be written, and a cache folder beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "archives"
    folder.mkdir()
    files = [b"%d" % i * 100 for i in range(10)]
    meta = TREE_MAGIC + pickle.dumps(OrderedDict((f"{i}.txt", i) for i in range(10)), 4)
    contents = [*files, meta]
    header = encode_header(
        np.array([crc32(c) for c in contents], np.uint32), np.array([len(c) for c in contents], np.int64)
    )
    path = folder / "a.ffr"
    path.write_bytes(header + b"".join(contents))
    return path


def test_the_index_file_holds_the_same_index(archive):
    shards = Shards(archive)
    built = load_index(shards)
    assert find_index_file(shards) is None, "a small index is not kept unasked"
    path = save_index_file(built, shards)
    assert path == f"{archive}.index"
    found = find_index_file(Shards(archive))
    assert found is not None
    for name in Index.ARRAYS:
        assert np.array_equal(found[1].arrays[name], built.arrays[name])
    assert found[1].lookup(ROOT_INODE, b"7.txt") == built.lookup(ROOT_INODE, b"7.txt")
    assert sorted(os.listdir(archive.parent)) == ["a.ffr", "a.ffr.index"]


def test_the_index_file_goes_with_its_archive(archive):
    shards = Shards(archive)
    save_index_file(load_index(shards), shards)
    os.utime(archive, ns=(1, 1))
    assert find_index_file(Shards(archive)) is None


def test_a_damaged_index_file_is_ignored(archive):
    shards = Shards(archive)
    path = save_index_file(load_index(shards), shards)
    whole = bytearray(Path(path).read_bytes())
    for at in (0, 9, 13, 17, 40, len(whole) // 2, whole.rindex(b"7.txt")):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        with open(path, "wb") as file:
            file.write(damaged)
        assert find_index_file(shards) is None, f"byte {at} of {len(whole)}"
    for size in (0, 10, 20, len(whole) // 2):
        with open(path, "wb") as file:
            file.write(whole[:size])
        assert find_index_file(shards) is None, f"cut to {size}"


def test_where_the_folder_cannot_be_written_the_cache_is_used(archive):
    # Root writes to folders without write permission, so the place beside the archive is taken by a folder instead.
    shards = Shards(archive)
    beside, cached = index_file_paths(shards)
    os.mkdir(beside)
    assert save_index_file(load_index(shards), shards) == cached
    found = find_index_file(shards)
    assert found is not None
    assert found[0] == cached
    assert os.stat(os.path.dirname(cached)).st_mode & 0o777 == 0o700
