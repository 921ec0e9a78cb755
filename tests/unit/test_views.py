"""Views: the merged index against the same merge done with dicts."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffrfs import ConfigError
from ffrfs.archive.index_file import find_index_file, save_index_file
from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.archive.views import view_of
from ffrfs.format.chunks import chunk_checksums, packed_chunks
from ffrfs.format.index import ROOT_INODE
from ffrfs.format.views import Layer, merge_layers
from tests.support.archives import packed_folder
from tests.support.trees import content

NAMES = st.sampled_from([b"a", b"b", b"c", b"\xff", b"long name"])
TREES = st.recursive(
    st.binary(max_size=4), lambda below: st.dictionaries(NAMES, below, max_size=4), max_leaves=12
).filter(lambda tree: isinstance(tree, dict))


def laid_over(lower, upper):
    """What is seen of two trees."""
    if isinstance(lower, bytes) or isinstance(upper, bytes):
        return upper
    merged = dict(lower)
    for name, entry in upper.items():
        merged[name] = laid_over(lower[name], entry) if name in lower else entry
    return merged


def shown(shards, index, inode=ROOT_INODE):
    """The tree of an index, with the contents, each found by its path as well."""
    assert [index.name(child) for child in index.children(inode)] == sorted(map(index.name, index.children(inode)))
    tree = {}
    for child in index.children(inode):
        name = index.name(child)
        assert index.lookup(inode, name) == child and index.parent(child) == inode
        if index.is_directory(child):
            tree[name] = shown(shards, index, child)
        else:
            shard, offset, length = index.records.extent(index.record(child))
            tree[name] = bytes(shards.read(shard, offset, length))
            assert index.inode(index.record(child)) == child
    subdirectories = sum(map(index.is_directory, index.children(inode)))
    assert index.links(inode) == 2 + subdirectories
    return tree


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("archives")


def opened(folder, trees):
    for number, tree in enumerate(trees):
        (folder / f"{number}.ffr").write_bytes(packed_folder(tree))
    archives = [Shards(folder / f"{number}.ffr") for number in range(len(trees))]
    return archives, [build(archive) for archive in archives]


@settings(max_examples=200, deadline=None)
@given(st.lists(TREES, min_size=1, max_size=4))
def test_a_union_is_what_is_seen_of_trees_laid_over_each_other(folder, trees):
    expected = trees[0]
    for tree in trees[1:]:
        expected = laid_over(expected, tree)
    # A file hides what lies below it for good, so that a directory over it begins empty: as laid_over from below.
    shards, index = view_of(*opened(folder, trees), "union")
    assert shown(shards, index) == expected
    assert index.files == sum(1 for _ in files(expected))
    assert index.file_bytes == sum(map(len, files(expected)))


def files(tree):
    for entry in tree.values():
        if isinstance(entry, bytes):
            yield entry
        else:
            yield from files(entry)


@settings(max_examples=50, deadline=None)
@given(st.lists(TREES, min_size=2, max_size=3))
def test_each_archive_in_a_folder_of_its_name(folder, trees):
    shards, index = view_of(*opened(folder, trees), "folders")
    assert shown(shards, index) == {b"%d" % number: tree for number, tree in enumerate(trees)}


@settings(max_examples=50, deadline=None)
@given(TREES)
def test_a_directory_as_the_root(folder, tree):
    shards, index = view_of(*opened(folder, [{b"x": b"beside", b"d": {b"e": tree}}]), "union", "d/e")
    assert shown(shards, index) == tree


def test_a_directory_of_a_view(folder):
    shards, index = view_of(*opened(folder, [{b"d": {b"x": b"1", b"y": b"2"}}, {b"d": {b"x": b"3"}}]), "union", "/d/")
    assert shown(shards, index) == {b"x": b"3", b"y": b"2"}


def test_directories_that_cannot_be_a_root(folder):
    for subdir, error in (("missing", FileNotFoundError), ("file", NotADirectoryError), ("file/x", NotADirectoryError)):
        with pytest.raises(error, match=subdir):
            view_of(*opened(folder, [{b"file": b"x"}]), "union", subdir)


def test_records_are_numbered_over_all_shards(tmp_path):
    archives, indexes = opened(tmp_path, [{b"a": b"0", b"b": b"1"}, {b"b": b"2"}])
    index = merge_layers("view", [Layer(index) for index in indexes])
    assert index.records.first.tolist() == [0, 3, 5]  # each tree is a record too
    assert index.record(index.lookup(ROOT_INODE, b"b")) == 3
    assert index.inode(1) == 0  # hidden
    assert index.records.shard(3) == 1
    for name, array in index.arrays.items():
        assert array.dtype == np.dtype(index.ARRAYS[name])
    for archive in archives:
        archive.close()


def test_two_archives_of_one_name(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}/coco.ffr").write_bytes(packed_folder({b"x": b"y"}))
    archives = [Shards(tmp_path / f"{number}/coco.ffr") for number in range(2)]
    with pytest.raises(ConfigError, match=r"0/coco\.ffr and .*1/coco\.ffr would both be the folder coco"):
        view_of(archives, [build(archive) for archive in archives], "folders")


def test_the_files_are_open_once(folder):
    before = len(os.listdir("/proc/self/fd"))
    shards, _ = view_of(*opened(folder, [{b"a": b"0"}, {b"b": b"2"}]), "union")
    assert len(os.listdir("/proc/self/fd")) == before + 2
    shards.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_view_is_never_kept_as_the_index_of_an_archive(tmp_path):
    """A daemon keeps what it has learnt of large files in the index file: a view's would be taken for the archive's."""
    archives, indexes = opened(tmp_path, [{b"d": {b"x": b"1"}, b"y": b"2"}])
    shards, index = view_of(archives, indexes, "union", "d")
    assert save_index_file(index, shards) is None
    assert os.listdir(tmp_path) == ["0.ffr"]
    shards.close()
    archives, indexes = opened(tmp_path, [{b"a": b"1"}, {b"b": b"2"}])
    shards, index = view_of(archives, indexes, "union")
    assert save_index_file(index, shards) is None and find_index_file(shards) is None


def test_the_checksums_of_chunks_come_with_a_view(tmp_path):
    archives, indexes = opened(tmp_path, [{b"a": content(3 << 20)}, {b"a": b"x"}, {b"b": content((1 << 20) + 1)}])
    indexes[0] = indexes[0].with_all_chunks(packed_chunks(chunk_checksums(content(3 << 20))))
    shards, index = view_of(archives, indexes, "union")
    assert index.arrays["chunks_known"].tolist() == [1, 0]
    assert index.arrays["chunk_checksums"].tolist() == [*chunk_checksums(content(3 << 20)), 0, 0]
    for name, array in index.arrays.items():
        assert array.dtype == np.dtype(index.ARRAYS[name]), name
    shards.close()
