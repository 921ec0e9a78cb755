"""An index kept in a file is used only if it is right, and only root or oneself can have written it."""

import json
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ffrfs import PackedFolder
from ffrfs.archive import index_file as module
from ffrfs.archive.index_file import (
    UnusableIndexFile,
    find_index_file,
    index_file_paths,
    read_index_file,
    save_index_file,
)
from ffrfs.archive.opening import build, load_index
from ffrfs.archive.shards import Shards
from ffrfs.format.header import crc32
from ffrfs.format.index import Index
from ffrfs.format.validation import InvalidIndexError
from ffrfs.pack.unpack import unpack
from tests.data.make_corrupt import LYING, lies, open_for_index, right_arrays
from tests.support.archives import write_archive
from tests.support.faulty_storage import faulty_storage
from tests.support.fuse import require_root
from tests.support.users import NOBODY

TREE = {b"a": b"contents of a", b"d": {b"%03d" % number: b"%d" % number for number in range(50)}}


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive with its index beside it, in a folder of its own, and an empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    path = write_archive(tmp_path / "data" / "a.ffr", TREE)
    shards = Shards(path)
    assert save_index_file(load_index(shards), shards) == f"{path}.index"
    shards.close()
    return path


@pytest.fixture
def kept(archive):
    """The index."""
    return Path(f"{archive}.index")


def assert_unused(archive, kept, why):
    """Assert that the index is not used, for this reason, and that the archive reads nevertheless."""
    shards = Shards(archive)
    with pytest.raises(UnusableIndexFile, match=why):
        read_index_file(str(kept), shards)
    assert find_index_file(shards) is None
    shards.close()
    with PackedFolder(archive) as folder:
        assert folder.read_one("a").tobytes() == TREE[b"a"]
        assert folder.num_files() == 51


@pytest.mark.semantics("index-trust")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_one_that_others_can_write(archive, kept, mode):
    kept.chmod(mode)
    assert_unused(archive, kept, "others than its owner can write it")


@pytest.mark.semantics("index-trust")
@pytest.mark.parametrize("archive_too", [False, True], ids=["alone", "with-the-archive"])
def test_one_of_another_user(archive, kept, archive_too):
    require_root()
    os.chown(kept, NOBODY, NOBODY)
    if archive_too:
        os.chown(archive, NOBODY, NOBODY)
    assert_unused(archive, kept, f"it belongs to user {NOBODY}")


@pytest.mark.semantics("index-trust")
def test_a_symlink_to_a_right_one(archive, kept):
    kept.rename(f"{kept}.real")
    kept.symlink_to(f"{kept}.real")
    assert_unused(archive, kept, "symbolic links")


@pytest.mark.semantics("index-trust")
@pytest.mark.parametrize("kind", ["folder", "fifo", "empty"])
def test_one_that_is_no_file(archive, kept, kind):
    kept.unlink()
    {"folder": kept.mkdir, "fifo": lambda: os.mkfifo(kept), "empty": kept.touch}[kind]()
    assert_unused(archive, kept, "too short" if kind == "empty" else "no regular file")


@pytest.mark.semantics("index-trust")
def test_one_of_another_archive(archive, kept, tmp_path):
    other = write_archive(tmp_path / "data" / "b.ffr", TREE)
    kept.rename(f"{other}.index")
    assert_unused(other, Path(f"{other}.index"), "the archive has changed since it was made")


def with_header(kept, change):
    """Write the index again with a changed JSON header, its checksum made right."""
    data = kept.read_bytes()
    magic, version, size, _ = module._PREFIX.unpack_from(data)
    header = json.loads(data[module._PREFIX.size : module._PREFIX.size + size])
    text = change(header)
    text = (text if isinstance(text, bytes) else json.dumps(header).encode()).ljust(size)
    prefix = module._PREFIX.pack(magic, version, len(text), crc32(text))
    kept.write_bytes(prefix + text + data[module._PREFIX.size + size :])


@pytest.mark.semantics("index-trust")
@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["arrays"].pop("names"),
        lambda header: header["arrays"].update(names=[1 << 40, 5, 0]),
        lambda header: header["arrays"].update(names=[-8, 5, 0]),
        lambda header: header["arrays"].update(offsets=[0, 1 << 62, 0]),
        lambda header: header["arrays"].update(offsets=[0, 1 << 64, 0]),
        lambda header: header["arrays"].update(parents="none"),
        lambda header: header.update(arrays=None),
        lambda header: header.update(stamps=[]),
        lambda header: header["arrays"]["names"].pop(),
        lambda header: header["arrays"]["names"].__setitem__(2, 1),
        lambda header: header.clear(),
        lambda header: b"[" * 100_000,
        lambda header: b"\xff\xfe",
        lambda header: b"null",
    ],
)
def test_one_with_a_header_that_makes_no_sense(archive, kept, change):
    with_header(kept, change)
    assert_unused(archive, kept, ".")


@pytest.mark.semantics("index-trust")
def test_any_flipped_byte_is_noticed(archive, kept):
    data = kept.read_bytes()
    begin = len(data.rstrip(b"\0")) if data.endswith(b"\0") else len(data)
    numbers = random.Random(1)
    for at in sorted(numbers.sample(range(begin), 300)):
        kept.write_bytes(data[:at] + bytes([data[at] ^ (1 << numbers.randrange(8))]) + data[at + 1 :])
        shards = Shards(archive)
        found = find_index_file(shards)
        if found is not None:  # spaces and digits of the header may mean the same
            built = build(shards)
            assert all(np.array_equal(found[1].arrays[name], built.arrays[name]) for name in built.arrays), at
        shards.close()


LIES = sorted(path.name for path in LYING.glob("*.index"))


def test_the_lying_indexes_are_what_their_script_makes():
    assert set(LIES) == {f"{name}.index" for name in lies()}


@pytest.fixture
def archive_of_indexes(tmp_path, monkeypatch):
    """The archive that the lying indexes are of, open, in a folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shards = open_for_index(tmp_path)
    yield shards
    shards.close()


@pytest.mark.semantics("index-trust")
def test_the_index_that_does_not_lie_is_used(archive_of_indexes):
    right = right_arrays(archive_of_indexes)
    save_index_file(Index(right), archive_of_indexes)
    found = find_index_file(archive_of_indexes)
    assert found is not None
    assert all(np.array_equal(found[1].arrays[name], right[name]) for name in right)


@pytest.mark.semantics("index-trust")
@pytest.mark.parametrize("name", LIES)
def test_one_that_is_well_formed_but_lies(archive_of_indexes, name):
    kept = Path(f"{archive_of_indexes.paths[0]}.index")
    kept.write_bytes((LYING / name).read_bytes())
    kept.chmod(0o644)
    with pytest.raises(UnusableIndexFile) as refused:
        read_index_file(str(kept), archive_of_indexes)
    assert isinstance(refused.value.__cause__, InvalidIndexError)
    assert find_index_file(archive_of_indexes) is None


@pytest.mark.semantics("index-trust", "unpack-inside")
def test_one_that_came_with_the_archive_leads_nowhere_else(archive_of_indexes, tmp_path):
    Path(f"{archive_of_indexes.paths[0]}.index").write_bytes((LYING / "name-climbing.index").read_bytes())
    (tmp_path / "one" / "two").mkdir(parents=True)
    assert unpack(archive_of_indexes.paths[0], tmp_path / "one" / "two" / "out").files == 6
    assert (tmp_path / "one" / "two" / "out" / "profile").read_bytes() == b"echo"
    assert sorted(os.listdir(tmp_path / "one")) == ["two"]
    assert ".profile" not in os.listdir(tmp_path)


@pytest.mark.semantics("index-written")
def test_a_full_disk_is_no_error(small_disk, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    tree = {b"%06d" % number: b"" for number in range(40_000)}
    archive = write_archive(small_disk / "a.ffr", tree)
    (small_disk / "filling").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096 - 500_000))
    shards = Shards(archive)
    assert len(load_index(shards)) == 40_001
    assert sorted(os.listdir(small_disk)) == ["a.ffr", "filling"]
    found = find_index_file(shards)
    assert found is not None and found[0].startswith(str(cache))
    shards.close()


@pytest.mark.semantics("index-written")
def test_one_whose_writer_was_killed_leaves_no_litter_for_long(archive, kept, tmp_path):
    script = (
        "import os, signal, sys\n"
        "from ffrfs.linux import atomic\n"
        "from ffrfs.archive.opening import build\n"
        "from ffrfs.archive.shards import Shards\n"
        "from ffrfs.archive.index_file import save_index_file\n"
        "os.fchmod = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "shards = Shards(sys.argv[1])\n"
        "save_index_file(build(shards), shards)\n"
    )
    kept.unlink()
    done = subprocess.run([sys.executable, "-c", script, archive], timeout=60)
    assert done.returncode == -9
    litter = set(os.listdir(archive.parent)) - {"a.ffr"}
    assert len(litter) == 1 and kept.name not in litter
    shards = Shards(archive)
    save_index_file(build(shards), shards)
    shards.close()
    assert set(os.listdir(archive.parent)) == {"a.ffr", kept.name}


@pytest.mark.semantics("index-written")
def test_it_is_written_beside_the_archive_that_is_open_wherever_the_path_leads_by_then(archive, kept, tmp_path):
    """The owner of a folder on the way could otherwise have root write to any place."""
    kept.unlink()
    shards = Shards(archive)
    precious = tmp_path / "precious"
    precious.mkdir()
    archive.parent.rename(tmp_path / "moved")
    archive.parent.symlink_to(precious)
    path = save_index_file(build(shards), shards)
    assert path == index_file_paths(shards)[-1]  # in the cache
    assert os.listdir(precious) == []
    write_archive(precious / "a.ffr", {b"other": b""})
    assert save_index_file(build(shards), shards) == path
    assert os.listdir(precious) == ["a.ffr"]
    shards.close()


@pytest.mark.semantics("index-written")
def test_who_cannot_read_the_archive_cannot_read_its_index(archive, kept):
    archive.chmod(0o640)
    kept.unlink()
    shards = Shards(archive)
    save_index_file(build(shards), shards)
    shards.close()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640


@pytest.mark.semantics("index-written")
@pytest.mark.parametrize("name", ["cache", "cache/ffrfs"])
def test_root_writes_to_no_cache_of_another_user_s(archive, kept, tmp_path, name):
    """As under sudo, where HOME may be the user's: who then has a link wait there would choose the place."""
    require_root()
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "cache").mkdir()
    if name == "cache/ffrfs":
        (tmp_path / name).symlink_to(precious)
    os.chown(tmp_path / "cache", NOBODY, NOBODY)
    kept.unlink()
    kept.mkdir()  # so that the cache is the only place
    shards = Shards(archive)
    assert save_index_file(build(shards), shards) is None
    shards.close()
    assert os.listdir(precious) == []
    assert [path.name for path in (tmp_path / "cache").rglob("*")] == name.split("/")[1:]


@pytest.mark.semantics("index-written")
def test_it_is_used_on_storage_with_direct_io_only(fuse, archive, kept, tmp_path):
    """Where a file cannot be mapped shared."""
    with faulty_storage(archive.parent, tmp_path) as storage:
        shards = Shards(storage.path / archive.name)
        assert read_index_file(str(storage.path / kept.name), shards).files == 51
        found = find_index_file(shards)
        assert found is not None and found[0] == str(storage.path / kept.name)
        del found
        shards.close()
