"""Root does not mount an archive to which another user's link has led it: he would see what he may not read."""

import os
import tempfile
from pathlib import Path

import pytest

from ffrfs.mount.mountpoint import list_mounts
from tests.support.archives import packed_folder
from tests.support.mounts import mounted
from tests.support.processes import ffrfs
from tests.support.users import NOBODY

pytestmark = [pytest.mark.usefixtures("fuse", "root"), pytest.mark.semantics("user-paths")]

TREE = {b"secret": b"of root\n"}


@pytest.fixture
def folder():
    """A folder that all users may enter, with a private archive of root's, and a user's folder in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "private").mkdir()
        (folder / "private" / "a.ffr").write_bytes(packed_folder(TREE))
        (folder / "private" / "a.ffr").chmod(0o600)
        (folder / "theirs").mkdir()
        os.chown(folder / "theirs", NOBODY, NOBODY)
        (folder / "mnt").mkdir()
        yield folder


def link(path, target, user=NOBODY):
    path.symlink_to(target)
    os.chown(path, user, user, follow_symlinks=False)


def refused(folder, archive, place):
    done = ffrfs("mount", "-o", "allow_other", archive, folder / "mnt", "--log", folder / "log")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done
    assert f"leads through {place}, a link that other users can change: name what it leads to" in done.stderr
    assert not [mount for mount in list_mounts() if mount.mountpoint.startswith(str(folder))]


def test_a_link_to_the_archive(folder):
    link(folder / "theirs" / "data.ffr", folder / "private" / "a.ffr")
    refused(folder, folder / "theirs" / "data.ffr", folder / "theirs" / "data.ffr")


def test_a_link_to_its_folder(folder):
    link(folder / "theirs" / "data", folder / "private")
    refused(folder, folder / "theirs" / "data" / "a.ffr", folder / "theirs" / "data")
    refused(folder, folder / "theirs" / "data", folder / "theirs" / "data")


def test_a_link_among_the_shards(folder):
    (folder / "theirs" / "shards").mkdir()
    os.chown(folder / "theirs" / "shards", NOBODY, NOBODY)
    shard = folder / "theirs" / "shards" / "PART_00000.ffr"
    link(shard, folder / "private" / "a.ffr")
    refused(folder, shard.parent, shard)


def test_a_link_in_a_folder_like_tmp(folder):
    (folder / "shared").mkdir()
    (folder / "shared").chmod(0o1777)
    link(folder / "shared" / "a.ffr", folder / "private" / "a.ffr")
    refused(folder, folder / "shared" / "a.ffr", folder / "shared" / "a.ffr")


def test_links_of_root_and_files_of_users_are_mounted(folder, workers):
    (folder / "theirs" / "a.ffr").write_bytes(packed_folder(TREE))
    os.chown(folder / "theirs" / "a.ffr", NOBODY, NOBODY)
    link(folder / "link.ffr", "private/a.ffr", 0)
    link(folder / "way", "theirs", 0)
    for archive in ("link.ffr", "theirs/a.ffr", "way/a.ffr"):
        with mounted(folder / archive, folder, f"workers={workers}", "allow_other") as mount:
            assert (mount.path / "secret").read_bytes() == TREE[b"secret"]
