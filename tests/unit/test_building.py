"""An index for a mount: looked for once, built once, and then mapped."""

import os

import numpy as np
import pytest

from ffrfs.archive import building, index_file, opening
from ffrfs.archive.building import load_mapped_index
from ffrfs.archive.index_file import index_file_paths, save_index_file
from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.errors import ChecksumError, TruncatedError
from tests.support.archives import write_archive

MANY = {b"%05d" % number: b"" for number in range(11_000)}


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """Writes and opens the archive of a tree; its index may be kept beside it, or in a cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    opened = []

    def open_archive(tree):
        opened.append(Shards(write_archive(tmp_path / "a.ffr", tree)))
        return opened[-1]

    yield open_archive
    for one in opened:
        one.close()


@pytest.fixture
def done(tmp_path, monkeypatch):
    """What was done, in order, each with whether it was in this process."""
    journal = tmp_path / "journal"
    here = os.getpid()
    for module, name in [
        (opening, "build"),
        (opening, "find_index_file"),
        (building, "find_index_file"),
        (index_file, "read_index_file"),
    ]:
        function = getattr(module, name)

        def noted(*arguments, function=function, name=name):
            with open(journal, "a") as file:
                file.write(f"{name} {'here' if os.getpid() == here else 'in a child'}\n")
            return function(*arguments)

        monkeypatch.setattr(module, name, noted)
    return lambda: journal.read_text().splitlines()


def assert_same(index, shards):
    built = build(shards)
    for name, array in built.arrays.items():
        assert np.array_equal(index.arrays[name], array), name


def test_a_small_one_is_built_once_and_here(shards, done):
    archive = shards({b"a": b""})
    index = load_mapped_index(archive)
    assert done() == ["find_index_file here", "read_index_file here", "read_index_file here", "build here"]
    assert_same(index, archive)


def test_a_large_one_is_built_by_a_child_and_mapped(shards, done):
    archive = shards(MANY)
    index = load_mapped_index(archive)
    looked = ["find_index_file here", "read_index_file here", "read_index_file here"]
    assert done() == [*looked, "build in a child", "read_index_file here"]
    assert os.path.exists(index_file_paths(archive)[0])
    assert_same(index, archive)


def test_a_large_one_that_has_no_place_is_built_by_a_child_too(shards, done, tmp_path):
    archive = shards(MANY)
    for path in index_file_paths(archive):
        os.makedirs(path)
    index = load_mapped_index(archive)
    assert done()[-1] == "build in a child"
    assert_same(index, archive)


def test_one_that_is_kept_is_opened_once(shards, done):
    archive = shards(MANY)
    save_index_file(build(archive), archive)
    load_mapped_index(archive)
    assert done() == ["find_index_file here", "read_index_file here"]


def test_what_a_child_finds_wrong_is_raised(shards):
    archive = shards(MANY)
    with open(archive.path, "r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"other")
    with pytest.raises(ChecksumError, match="its tree of names"):
        load_mapped_index(archive)


def test_a_file_that_is_no_archive(shards, tmp_path):
    (tmp_path / "short.ffr").write_bytes(b"short")
    archive = Shards(tmp_path / "short.ffr")
    with pytest.raises(TruncatedError, match="not an"):
        load_mapped_index(archive)
    archive.close()
