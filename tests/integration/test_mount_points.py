"""Mount points as people have them: behind links, with odd names, beside and below the mounts of others."""

import contextlib
import os
import signal
import subprocess

import pytest

from ffrfs.mount.mountpoint import find_mount, list_mounts
from tests.support.processes import ffrfs

TREE = {b"a": b"hello\n"}


@contextlib.contextmanager
def tmpfs(folder):
    """An empty file system of somebody else's, mounted while the block runs."""
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "theirs\r", folder], capture_output=True).returncode:
        pytest.skip("this system mounts no tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.semantics("others-mounts")
def test_a_carriage_return_in_the_mount_of_somebody_else(root, mount, tmp_path):
    ours = mount(TREE)
    with tmpfs(tmp_path / "Icon\r"):
        assert str(ours.path) in ffrfs("mounts").stdout
        assert "it answers" in ffrfs("doctor", ours.path).stdout
        other = mount(ours.archive)
        ours.unmount()
        os.kill(other.supervisor, signal.SIGTERM)
        other.wait_for_end()


@pytest.mark.semantics("mounted-by-link")
def test_a_mount_behind_a_link_is_found_by_it(mount, tmp_path):
    place, link = tmp_path / "place", tmp_path / "link"
    place.mkdir()
    link.symlink_to("place/")
    ours = mount(TREE, path=place)
    assert "it answers" in ffrfs("doctor", link).stdout
    assert "already mounted" in ffrfs("mount", ours.archive, link).stderr
    assert (ffrfs("umount", link).stderr, find_mount(str(link))) == ("", None)
    ours.wait_for_end()


@pytest.mark.semantics("mounted-by-link")
def test_a_dead_mount_behind_a_link_is_cleaned_by_it(mount, tmp_path):
    place, link = tmp_path / "place", tmp_path / "link"
    place.mkdir()
    link.symlink_to(place)
    first = mount(TREE, path=link)
    first.status = -signal.SIGKILL
    first.kill()
    first.wait_for_end(leaves_mount=True)
    second = mount(first.archive, path=link, says=r".*cleaned a dead mount at .*\n")
    assert (link / "a").read_bytes() == b"hello\n"
    assert [found.mountpoint for found in list_mounts()].count(str(place)) == 1
    second.unmount()


@pytest.mark.semantics("umount")
def test_umount_takes_nothing_of_somebody_else_away(root, mount):
    ours = mount(TREE)
    with tmpfs(ours.path):
        done = ffrfs("umount", ours.path)
        assert done.returncode == 3 and "something else is mounted over it" in done.stderr
    ours.unmount()
