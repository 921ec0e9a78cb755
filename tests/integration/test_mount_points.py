"""Mount points as people have them: behind links, with odd names, beside and below the mounts of others."""

import contextlib
import os
import signal
import subprocess

import pytest

from ffrfs.mount.mountpoint import find_mount, list_mounts
from tests.support.archives import write_archive
from tests.support.mounts import mounted
from tests.support.processes import command, ffrfs, wait_until

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


ODD = os.fsdecode("数据 #\n\t,allow_other,\\x\\,suid:\r%n".encode() + b"\xff\xfe")


@pytest.mark.semantics("odd-names")
def test_archives_and_mount_points_of_odd_and_long_names(fuse, workers, tmp_path):
    long = "d" * 100
    folder = tmp_path / ODD / long / long / long
    folder.mkdir(parents=True)
    archive, place = write_archive(folder / f"{ODD}.ffr", TREE), folder / "mnt"
    with mounted(archive, folder, f"workers={workers}"):
        assert (place / "a").read_bytes() == b"hello\n"
        assert find_mount(os.fspath(place)).source == os.fspath(archive)
        assert not find_mount(os.fspath(place)).allow_other
        assert ffrfs("stats", "--json", place).returncode == 0


@pytest.mark.semantics("odd-names")
@pytest.mark.parametrize("name", [ODD, "d" * 200 + "/" + "e" * 200], ids=["odd", "long"])
def test_default_logs_of_odd_and_long_names(fuse, root, tmp_path, name):
    archive, place = write_archive(tmp_path / "a.ffr", TREE), tmp_path / name
    place.mkdir(parents=True)
    script = 'mount -t tmpfs none /var/log || exit 99; "$@" && ls -A /var/log/ffrfs | wc -l && exec umount "$0"'
    words = ["unshare", "--mount", "sh", "-c", script, place, *command("mount", archive, place)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "1", "")


@pytest.mark.semantics("umount")
def test_umount_takes_nothing_of_somebody_else_away(root, mount):
    ours = mount(TREE)
    with tmpfs(ours.path):
        done = ffrfs("umount", ours.path)
        assert done.returncode == 3 and "something else is mounted over it" in done.stderr
    ours.unmount()


@pytest.mark.semantics("stopping")
def test_a_mount_below_that_of_somebody_else_is_served_until_it_can_be_unmounted(root, mount):
    ours = mount(TREE)
    ours.tolerated = ["something else is mounted over it; trying again"]
    with (ours.path / "a").open("rb") as file:
        with tmpfs(ours.path):
            for _ in range(3):
                os.kill(ours.supervisor, signal.SIGTERM)
            wait_until(lambda: "trying again" in ours.log.read_text(), "it has tried")
            assert file.read() == b"hello\n" and ours.is_mounted() and len(ours.children) > 1
        wait_until(lambda: not ours.is_mounted(), "it is unmounted")
    ours.wait_for_end()


def test_an_inherited_descriptor_of_the_device_confuses_nothing(mount, monkeypatch):
    before = [os.open("/dev/fuse", os.O_RDWR) for _ in range(2)]
    try:
        for fd in before:
            os.set_inheritable(fd, True)
        run = subprocess.run
        monkeypatch.setattr("subprocess.run", lambda *words, **options: run(*words, **{**options, "close_fds": False}))
        ours = mount(TREE)
        monkeypatch.undo()
        assert (ours.path / "a").read_bytes() == b"hello\n"
    finally:
        for fd in before:
            os.close(fd)
