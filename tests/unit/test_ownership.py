"""Which paths root may follow."""

import os
import subprocess
import sys

import pytest

from ffrfs.linux.ownership import changeable_by_others, check_files
from ffrfs.pack.unpack import unpack
from tests.support.archives import write_archive
from tests.support.fuse import require_root
from tests.support.users import NOBODY


@pytest.fixture
def place(tmp_path):
    """A folder of root's, in which are one of a user's and one that is like /tmp."""
    require_root()
    for name in ("theirs", "shared", "ours"):
        (tmp_path / name).mkdir()
    os.chown(tmp_path / "theirs", NOBODY, NOBODY)
    (tmp_path / "shared").chmod(0o1777)
    return tmp_path


def link(path, target, user=0):
    path.symlink_to(target)
    os.chown(path, user, user, follow_symlinks=False)


def test_paths_of_root_s_alone(place):
    (place / "ours" / "file").touch()
    (place / "ours" / "folder").mkdir(mode=0o775)
    link(place / "link", "ours/../ours/folder")
    link(place / "absolute", place / "link")
    (place / "shared" / "of-root").mkdir()
    for name in ("ours", "ours/file", "ours/nothing/there/yet", "ours/folder/x", "link/x", "absolute/x", "shared/new"):
        assert changeable_by_others(f"{place}/{name}") is None
    assert changeable_by_others(f"{place}/shared/of-root/file") is None


def test_a_user_s_file_in_a_folder_of_root_s_leads_nowhere_else(place):
    (place / "ours" / "file").touch()
    os.chown(place / "ours" / "file", NOBODY, NOBODY)
    assert changeable_by_others(f"{place}/ours/file") is None


def test_folders_of_users_and_what_is_in_them(place):
    (place / "theirs" / "of-root").mkdir()
    for name in ("theirs", "theirs/file", "theirs/of-root/file", "ours/../theirs/file"):
        assert changeable_by_others(f"{place}/{name}") == f"{place}/theirs"


@pytest.mark.parametrize("target", ["theirs", "../{}/theirs", "{}/theirs", "ours/../theirs"])
def test_links_of_root_s_through_folders_of_users(place, target):
    link(place / "link", target.format(place.name if target.startswith("..") else place))
    assert changeable_by_others(f"{place}/link/file") == f"{place}/theirs"


def test_what_users_can_put_into_a_shared_folder(place):
    shared = place / "shared"
    link(shared / "link", "/etc", NOBODY)
    (shared / "file").touch()
    (shared / "folder").mkdir()
    for name in ("file", "folder"):
        os.chown(shared / name, NOBODY, NOBODY)
    for name in ("link", "file", "folder"):
        assert changeable_by_others(f"{shared}/{name}") == f"{shared}/{name}"
    assert changeable_by_others(f"{shared}/link/passwd") == f"{shared}/link"
    link(place / "through", "shared/link")
    assert changeable_by_others(f"{place}/through") == f"{shared}/link"
    link(place / "back", "shared/../ours")
    assert changeable_by_others(f"{place}/back") is None


def test_folders_that_everybody_can_write(place):
    (place / "ours").chmod(0o777)
    assert changeable_by_others(f"{place}/ours/file") == f"{place}/ours"


def test_links_in_a_circle(place):
    link(place / "a", "b")
    link(place / "b", "a")
    with pytest.raises(OSError, match="Too many levels"):
        changeable_by_others(f"{place}/a")


def test_others_than_root_follow_what_they_like(place, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    assert changeable_by_others(f"{place}/theirs/file") is None


def test_root_of_a_user_namespace_is_an_ordinary_user(place):
    """To it, the folders of root itself are somebody else's."""
    script = "import sys; from ffrfs.linux.ownership import *; print(changeable_by_others(sys.argv[1]))"
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", script, place / "theirs" / "file"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"there can be no user namespaces here: {done.stderr.strip()}")
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_a_file_that_a_user_s_link_has_led_to(place):
    (place / "ours" / "file").touch()
    link(place / "theirs" / "link", place / "ours" / "file", NOBODY)
    link(place / "theirs" / "folder", place / "ours", NOBODY)
    link(place / "link", "theirs/link")
    link(place / "of-root", "ours/../ours/file")
    fd = os.open(place / "ours" / "file", os.O_RDONLY)
    try:
        check_files([f"{place}/ours/file", f"{place}/of-root"], [fd, fd])
        for path, led_by in [("theirs/link",) * 2, ("theirs/folder/file", "theirs/folder"), ("link", "theirs/link")]:
            with pytest.raises(PermissionError) as caught:
                check_files([f"{place}/ours/file", f"{place}/{path}"], [fd, fd])
            assert caught.value.filename == f"{place}/{led_by}"
    finally:
        os.close(fd)


def test_a_link_that_a_user_has_taken_away_again_after_it_was_followed(place):
    (place / "ours" / "file").touch()
    (place / "theirs" / "file").touch()
    fd = os.open(place / "ours" / "file", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="another file has come to its place"):
            check_files([f"{place}/theirs/file"], [fd])
    finally:
        os.close(fd)


@pytest.mark.semantics("user-paths")
@pytest.mark.parametrize("name", ["link", "link/new", "folder-link/new"])
def test_root_does_not_unpack_where_a_user_s_link_leads(place, name):
    archive = write_archive(place / "a.ffr", {b"file": b"contents"})
    link(place / "theirs" / "link", place / "ours", NOBODY)
    link(place / "folder-link", "theirs/link")
    with pytest.raises(PermissionError, match="other users can change this link") as caught:
        unpack(archive, place / ("theirs" if name.startswith("link") else "") / name)
    assert caught.value.filename == f"{place}/theirs/link"
    assert os.listdir(place / "ours") == []


def test_root_unpacks_into_a_user_s_folder_and_through_links_of_its_own(place):
    archive = write_archive(place / "a.ffr", {b"file": b"contents"})
    link(place / "link", "theirs")
    for name in ("theirs/new", "link/other"):
        unpack(archive, place / name)
        assert (place / name / "file").read_bytes() == b"contents"
