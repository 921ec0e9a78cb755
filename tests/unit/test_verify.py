"""Verifying looks at the archive itself, whatever index is kept."""

import os

import numpy as np
import pytest

from ffrfs.archive.index_file import find_index_file, save_index_file
from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.errors import FormatError
from ffrfs.format.index import build_index
from ffrfs.format.records import Records
from ffrfs.format.tree import Tree
from tests.data.make_corrupt import open_for_index, right_arrays
from tests.support.archives import write_archive
from tests.support.processes import ffrfs

TREE = {b"%d" % number: b"x" * number for number in range(100)}


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive with its index."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write_archive(tmp_path / "a.ffr", TREE)
    shards = Shards(path)
    save_index_file(build(shards), shards)
    shards.close()
    return path


def overwrite(path, at, data):
    """Change a file as a disk does that fails: its mtime stays."""
    status = os.stat(path)
    with open(path, "r+b") as file:
        os.pwrite(file.fileno(), data, at)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.semantics("verify")
@pytest.mark.parametrize("at", [12, 4, 700], ids=["checksums", "count", "offsets"])
def test_a_damaged_header_is_found_though_there_is_an_index(archive, at):
    overwrite(archive, at, b"\xff" * 7)
    done = ffrfs("verify", archive)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done
    assert "header" in done.stderr or "not an .ffr archive" in done.stderr


@pytest.mark.semantics("verify")
def test_a_damaged_tree_is_found_though_there_is_an_index(archive):
    overwrite(archive, archive.stat().st_size - 20, b"damage")
    done = ffrfs("verify", archive)
    assert done.returncode == 4
    assert "its tree of names" in done.stderr


@pytest.mark.semantics("verify")
def test_an_index_of_another_tree_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shards = open_for_index(tmp_path)
    index = build(shards)
    assert ffrfs("verify", shards.paths[0]).returncode == 0
    arrays = right_arrays(shards)
    names = arrays["names"].tobytes().replace(b"profile", b"profilf")
    arrays["names"] = np.frombuffer(names, np.uint8)
    arrays["keys"] = np.where(
        arrays["keys"] == int.from_bytes(b"profile\0", "big"), int.from_bytes(b"profilf\0", "big"), arrays["keys"]
    ).astype("<u8")
    save_index_file(type(index)(arrays), shards)
    assert find_index_file(shards) is not None
    done = ffrfs("verify", shards.paths[0])
    assert (done.returncode, done.stderr) == (
        4,
        f"ffrfs: {shards.paths[0]}.index: this index has other names than the archive: delete it\n",
    )
    shards.close()


@pytest.mark.semantics("hostile")
@pytest.mark.parametrize("size", [13, 4096, 2 << 30])
def test_zeros_are_no_archive(tmp_path, size):
    path = tmp_path / "zeros.ffr"
    path.touch()
    os.truncate(path, size)
    (tmp_path / "mnt").mkdir()
    for command in (["verify", path], ["info", path], ["mount", path, tmp_path / "mnt"]):
        done = ffrfs(*command)
        assert (done.returncode, done.stderr.count("\n")) == (4, 1), done
        assert "its header claims no records" in done.stderr


@pytest.mark.semantics("hostile")
def test_sizes_that_together_are_more_than_any_number_of_bytes_are_an_error():
    """One huge sparse record with many names."""
    text = np.frombuffer(b"abc", np.uint8)
    records = Records(np.array([24]), np.array([1 << 62]), np.zeros(1, np.uint32), np.array([0, 1]))

    def tree(names):
        zeros = np.zeros(names, np.int32)
        return Tree(zeros, text, np.arange(names), zeros + 1, zeros, 1)

    assert build_index("x.ffr", tree(1), records).file_bytes == 1 << 62
    for names in (2, 3):
        with pytest.raises(FormatError, match=f"have {names << 62} bytes together"):
            build_index("x.ffr", tree(names), records)
