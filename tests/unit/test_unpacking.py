"""unpack: what was packed, and never anything outside the target."""

import contextlib
import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from ffrfs import ArchiveError, ChecksumError, FileWriter, pack_folder
from ffrfs.pack.outputs.folder import TargetFolder
from ffrfs.pack.unpack import MARKER, unpack
from tests.support.archives import write_archive
from tests.support.fuse import require_root
from tests.support.users import NOBODY

VECTORS = Path(__file__).parent.parent / "data" / "vectors"
MANIFEST = json.loads((VECTORS / "manifest.json").read_text())["archives"]
MARKER_NAME = os.fsdecode(MARKER)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    for path, data in {"a/x": b"x", "a/b/y": b"y" * 5000, "c/z": b"", "top": b"top"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def archive(source, tmp_path):
    pack_folder(source, tmp_path / "archive.ffr")
    return tmp_path / "archive.ffr"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "target"


def tree(folder):
    """What is in a folder: path -> contents, None for a folder, the target for a symlink."""
    found = {}
    for path in Path(folder).rglob("*"):
        relative = str(path.relative_to(folder))
        found[relative] = os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


def damage(archive, data):
    """Change a byte of the only place where `data` stands in the archive."""
    content = bytearray(archive.read_bytes())
    at = content.index(data)
    content[at] ^= 1
    archive.write_bytes(content)


@pytest.mark.parametrize("name", ["folder.ffr", "sharded"])
def test_reference_archives_unpack_as_the_manifest_says(name, target):
    unpack(VECTORS / name, target)
    found = {path: data for path, data in tree(target).items() if data is not None}
    assert {path: hashlib.sha256(data).hexdigest() for path, data in found.items()} == MANIFEST[name]["files"]


def test_everything_is_unpacked(archive, source, target):
    calls = []
    unpacked = unpack(archive, target, progress=lambda *counts: calls.append(counts))
    assert tree(target) == tree(source)
    assert (unpacked.files, unpacked.size_bytes) == (4, 5004)
    assert calls[0] == (0, 0, 4, 5004)
    assert calls[-1] == (4, 5004, 4, 5004)


def test_an_archive_without_a_tree_unpacks_as_numbered_files(tmp_path, target):
    with FileWriter(tmp_path / "records.ffr", 11) as writer:
        writer.write(b"%d" % number for number in range(11))
    unpack(tmp_path / "records.ffr", target)
    assert tree(target) == {f"{number:02d}": b"%d" % number for number in range(11)}


def test_files_of_all_sizes_and_many_of_them(tmp_path, target):
    source = tmp_path / "source"
    source.mkdir()
    for size in (8 << 20, (8 << 20) + 1, 17 << 20):
        (source / str(size)).write_bytes(os.urandom(size))
    for number in range(600):
        (source / f"{number:03d}").write_bytes(b"%d" % number)
    pack_folder(source, tmp_path / "archive.ffr")
    calls = []
    unpack(tmp_path / "archive.ffr", target, progress=lambda *counts: calls.append(counts))
    assert tree(target) == tree(source)
    assert calls == sorted(calls) and len(calls) > 8
    assert calls[-1][:2] == calls[-1][2:]


def test_an_empty_target_is_taken_as_it_is(archive, source, target):
    target.mkdir(mode=0o700)
    unpack(archive, target)
    assert tree(target) == tree(source)
    assert target.stat().st_mode & 0o777 == 0o700


@pytest.mark.semantics("unpack-force")
def test_a_target_with_something_in_it_needs_force(archive, target):
    target.mkdir()
    (target / "mine").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="not empty") as error:
        unpack(archive, target)
    assert error.value.filename == str(target)
    assert tree(target) == {"mine": b"mine"}
    unpack(archive, target, force=True)
    assert tree(target)["mine"] == b"mine" and tree(target)["top"] == b"top"


def test_targets_that_cannot_be(archive, tmp_path):
    with pytest.raises(NotADirectoryError):
        unpack(archive, archive)
    with pytest.raises(FileNotFoundError):
        unpack(archive, tmp_path / "nowhere" / "target")


@pytest.mark.semantics("unpack-inside")
def test_force_replaces_files_and_links_and_touches_nothing_else(archive, source, target, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"outside")
    (outside / "x").write_bytes(b"outside")
    target.mkdir()
    (target / "a").symlink_to(outside)
    (target / "c").write_bytes(b"a file where a folder goes")
    (target / "empty").symlink_to("nowhere")
    os.link(outside / "file", target / "top")
    unpack(archive, target, force=True)
    assert tree(target) == tree(source)
    assert tree(outside) == {"file": b"outside", "x": b"outside"}


@pytest.mark.semantics("unpack-force")
def test_force_does_not_replace_a_folder_by_a_file(archive, target):
    (target / "top" / "mine").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as error:
        unpack(archive, target, force=True)
    assert error.value.filename == str(target / "top")
    assert (target / "top" / "mine").is_dir()


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "x").write_bytes(b"outside")
    return folder


@pytest.mark.semantics("unpack-inside")
def test_a_target_that_is_replaced_by_a_link_meanwhile_is_written_where_it_went(source, target, outside, tmp_path):
    for number in range(600):  # several batches
        (source / f"{number:03d}").write_bytes(b"packed")
    pack_folder(source, tmp_path / "archive.ffr")

    def replace(done, *_):
        if done and not target.is_symlink():
            assert done < 600
            target.rename(tmp_path / "moved")
            target.symlink_to(outside)

    unpack(tmp_path / "archive.ffr", target, progress=replace)
    assert target.is_symlink()
    assert tree(tmp_path / "moved") == tree(source)
    assert tree(outside) == {"x": b"outside"}


SWAP = """
import contextlib, os, random, sys, time
target, outside = sys.argv[1:]
os.chdir(target)
while True:
    for name in ("d", "d/e"):
        with contextlib.suppress(OSError):
            os.rename(name, name + "-moved")
            os.symlink(outside, name)
        time.sleep(random.random() / 1000)
        with contextlib.suppress(OSError):
            os.unlink(name)
            os.rename(name + "-moved", name)
"""


@pytest.mark.semantics("unpack-inside")
@pytest.mark.parametrize("force", [False, True])
def test_folders_that_their_owner_swaps_for_links_all_the_time(tmp_path, outside, force):
    """Root unpacks into a folder of a user's, who would have it write elsewhere."""
    require_root()
    source = tmp_path / "source"
    (source / "d" / "e").mkdir(parents=True)
    for number in range(300):
        (source / ("d/e" if number % 2 else "d") / f"{number:03d}").write_bytes(b"packed")
        (source / "d" / f"{number:03d}-f").mkdir()
        (source / "d" / f"{number:03d}-f" / "x").write_bytes(b"packed")
    pack_folder(source, tmp_path / "archive.ffr")
    before = tree(outside)
    with tempfile.TemporaryDirectory() as theirs:
        os.chown(theirs, NOBODY, NOBODY)
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        swapping = subprocess.Popen([*drop, "/usr/bin/python3", "-c", SWAP, theirs, outside])
        try:
            for _ in range(15):
                with contextlib.suppress(OSError):
                    unpack(tmp_path / "archive.ffr", theirs, force=force)
                if not force:
                    subprocess.run(["find", theirs, "-mindepth", "1", "-delete"], capture_output=True)
            assert swapping.poll() is None, "nobody was swapping"
        finally:
            swapping.kill()
            swapping.wait()
    assert tree(outside) == before


def test_only_some_paths(archive, target):
    unpacked = unpack(archive, target, paths=["a/b", "/c/", "a/b/y", b"empty"])
    assert tree(target) == {"a": None, "a/b": None, "a/b/y": b"y" * 5000, "c": None, "c/z": b"", "empty": None}
    assert unpacked.files == 2


def test_a_single_file(archive, target):
    unpack(archive, target, paths=["a/b/y"])
    assert tree(target) == {"a": None, "a/b": None, "a/b/y": b"y" * 5000}


@pytest.mark.parametrize(
    ("path", "error"), [("nowhere", FileNotFoundError), ("top/x", NotADirectoryError), ("../top", FileNotFoundError)]
)
def test_paths_that_the_archive_does_not_have(archive, target, path, error):
    with pytest.raises(error):
        unpack(archive, target, paths=[path])
    assert not target.exists()


def test_a_damaged_file_is_named_and_not_written_and_the_tree_is_marked(archive, target):
    damage(archive, b"y" * 5000)
    with pytest.raises(ChecksumError, match=r"archive\.ffr: a/b/y \(record 0\)"):
        unpack(archive, target)
    assert (target / MARKER_NAME).exists()
    assert not (target / "a" / "b" / "y").exists()
    unpack(archive, target, force=True, paths=["top"])
    assert not (target / MARKER_NAME).exists()


def test_a_damaged_large_file_is_removed_again(tmp_path, target):
    (tmp_path / "source").mkdir()
    large = np.arange(3 << 20, dtype=np.uint32).tobytes()
    (tmp_path / "source" / "large").write_bytes(large)
    pack_folder(tmp_path / "source", tmp_path / "archive.ffr")
    damage(tmp_path / "archive.ffr", large[-100:])
    with pytest.raises(ChecksumError, match=r"large \(record 0\)"):
        unpack(tmp_path / "archive.ffr", target)
    assert os.listdir(target) == [MARKER_NAME]


@pytest.mark.semantics("unpack-marked")
def test_the_marker_is_there_while_files_are_written(archive, target):
    seen = []
    unpack(archive, target, progress=lambda done, *_: seen.append(done and sorted(os.listdir(target))))
    assert MARKER_NAME in seen[-1] and "top" in seen[-1]
    assert MARKER_NAME not in os.listdir(target)


def test_an_archive_that_has_the_name_of_the_marker(source, target, tmp_path):
    (source / MARKER_NAME).write_bytes(b"packed")
    pack_folder(source, tmp_path / "archive.ffr")
    unpack(tmp_path / "archive.ffr", target)
    assert tree(target) == tree(source)


@pytest.mark.semantics("unpack-marked")
def test_a_full_disk_leaves_whole_files_and_the_marker(small_disk, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / str(number)).write_bytes(bytes(4 << 20))
    pack_folder(source, tmp_path / "archive.ffr")
    with pytest.raises(OSError, match="No space left") as error:
        unpack(tmp_path / "archive.ffr", small_disk / "target")
    assert error.value.filename.startswith(str(small_disk / "target"))
    files = tree(small_disk / "target")
    assert files.pop(MARKER_NAME) == b""
    assert all(data == bytes(4 << 20) for data in files.values())


def test_no_descriptor_is_left_open(archive, target):
    before = sorted(os.listdir("/proc/self/fd"))
    unpack(archive, target)
    with pytest.raises(FileExistsError):
        unpack(archive, target)
    damage(archive, b"y" * 5000)
    with pytest.raises(ChecksumError):
        unpack(archive, target, force=True)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_what_is_no_archive_makes_no_target(tmp_path, target):
    (tmp_path / "no.ffr").write_bytes(b"x" * 100)
    with pytest.raises(ArchiveError):
        unpack(tmp_path / "no.ffr", target)
    assert not target.exists()


def comb(levels, teeth):
    """A tree as deep as `levels`, in whose last directory files and directories alternate."""
    tree = {b"%06d" % number: b"" if number % 2 else {b"file": b"x"} for number in range(teeth)}
    for _ in range(levels):
        tree = {b"d": tree}
    return tree


@pytest.mark.timeout(60)
def test_a_deep_tree_is_not_walked_from_its_root_for_each_file(tmp_path):
    archive = write_archive(tmp_path / "deep.ffr", comb(200, 300))
    opened = []
    open_folder = TargetFolder._open_folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TargetFolder, "_open_folder", lambda *args: opened.append(args) or open_folder(*args))
        assert unpack(archive, tmp_path / "out").files == 300
    assert len(opened) < 200 + 2 * 300
    last = tmp_path / "out" / "/".join(["d"] * 200)
    assert sorted(os.listdir(last)) == [f"{number:06d}" for number in range(300)]
    assert (last / "000000" / "file").read_bytes() == b"x"
