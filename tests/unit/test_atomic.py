"""Temporary files and folders: what a killed writer left is removed, and nothing that was renamed to look like it."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from ffrfs.linux.atomic import PendingFile, PendingFolder, remove_leftovers
from tests.support.fuse import require_root
from tests.support.users import NOBODY

pytestmark = pytest.mark.semantics("leftovers")

TEMPORARY = ".target.0123456789abcdef.tmp"
KILLED = """
import os, signal, sys
from ffrfs.linux.atomic import PendingFile, PendingFolder
kind, path = sys.argv[1:]
if kind == "file":
    pending = PendingFile(path + "/target")
    os.write(pending.fd, b"half of it")
else:
    pending = PendingFolder(path, "target")
    for name in ("PART_00000.ffr", ".PART_00001.ffr.0123456789abcdef.tmp"):
        open(pending.path + "/" + name, "w").close()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def tree_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(params=["file", "folder"])
def leftover(request, folder):
    """What a killed writer of `target` left."""
    done = subprocess.run([sys.executable, "-c", KILLED, request.param, folder])
    assert done.returncode == -signal.SIGKILL
    (path,) = folder.iterdir()
    return path


def test_what_a_killed_writer_left_is_removed(folder, leftover):
    remove_leftovers(str(folder / "target"))
    assert tree_of(folder) == []


def test_what_another_user_s_killed_writer_left_stays(folder, leftover):
    require_root()
    for path in (leftover, *leftover.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    before = tree_of(folder)
    remove_leftovers(str(folder / "target"))
    assert tree_of(folder) == before


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_that_of_a_live_writer_stays(folder, kind):
    target = str(folder / "target")
    pending = PendingFile(target) if kind == "file" else PendingFolder(str(folder), "target")
    remove_leftovers(target)
    assert os.path.exists(pending.path)
    pending.abort()
    assert tree_of(folder) == []


def test_a_folder_renamed_to_look_like_a_leftover_stays_with_all_that_is_in_it(folder):
    """Others can rename it where they can write to the folder that it is in, but could not delete what is in it."""
    victim = folder / "results"
    (victim / "run1").mkdir(parents=True)
    for name in ("model.pth", "PART_00000.ffr", "run1/model.pth"):
        (victim / name).write_text("precious")
    before = tree_of(victim)
    victim.rename(folder / TEMPORARY)
    for pending in (PendingFile(str(folder / "target")), PendingFolder(str(folder), "target")):
        pending.abort()
    assert tree_of(folder / TEMPORARY) == before


def test_a_file_renamed_to_look_like_a_leftover_stays(folder):
    (folder / TEMPORARY).write_text("precious")
    remove_leftovers(str(folder / "target"))
    assert (folder / TEMPORARY).read_text() == "precious"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("elsewhere", path), os.mkdir])
def test_something_else_of_such_a_name_stays(folder, make):
    make(folder / TEMPORARY)
    remove_leftovers(str(folder / "target"))
    assert tree_of(folder) == [TEMPORARY]


def test_a_folder_in_a_leftover_stays(folder):
    """Only files are removed, whoever put the folder there."""
    assert subprocess.run([sys.executable, "-c", KILLED, "folder", folder]).returncode == -signal.SIGKILL
    (leftover,) = folder.iterdir()
    (leftover / "A").mkdir()
    (leftover / "A" / "model.pth").write_text("precious")
    remove_leftovers(str(folder / "target"))
    assert (leftover / "A" / "model.pth").read_text() == "precious"


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_folder_that_has_come_to_the_place_of_the_temporary_stays(folder, end):
    pending = PendingFolder(str(folder), "target")
    (folder / pending.path / "PART_00000.ffr").write_text("ours")
    victim = folder / "results"
    victim.mkdir()
    (victim / "PART_00000.ffr").write_text("precious")
    os.rename(pending.path, folder / "moved")
    victim.rename(pending.path)
    pending.commit(["PART_00000.ffr"]) if end == "commit" else pending.abort()
    assert os.listdir(folder / "moved") == []
    assert os.listdir(pending.path) == ["PART_00000.ffr"]
    if end == "commit":
        assert (folder / "PART_00000.ffr").read_text() == "ours"


@pytest.mark.parametrize("mode", [None, 0o600])
def test_a_committed_file_has_no_mark(folder, mode):
    pending = PendingFile(str(folder / "target"))
    assert os.fstat(pending.fd).st_mode & stat.S_ISVTX
    pending.commit(mode)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((folder / "target").stat().st_mode) == (0o666 & ~umask if mode is None else mode)
