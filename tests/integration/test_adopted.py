"""`ffrfs mount ARCHIVE /dev/fd/N`: a mount that somebody else makes, as apptainer's --fusemount and mount.fuse3 do."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from ffrfs.linux.mountinfo import read_mounts
from tests.support.archives import write_archive
from tests.support.errnos import fails_with
from tests.support.processes import adopt_orphans, command, environment, ffrfs, marked, new_mark, parent, wait_until

TREE = {b"folder": {b"%03d" % number: b"contents" * number for number in range(300)}, b"large": bytes(3_000_000)}


@pytest.fixture
def place(fuse, root, tmp_path):
    """A mount point, from which everything is unmounted in the end."""
    place = tmp_path / "mnt"
    place.mkdir()
    yield place
    while mounts(place):
        subprocess.run(["umount", "-l", place], check=True)


def mounts(place):
    """What is mounted there, of whatever type."""
    return [mount for mount in read_mounts() if mount.mountpoint == str(place)]


def mount_by_hand(place):
    """Make a mount; returns its descriptor, which nobody serves yet."""
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,ro,default_permissions"
    subprocess.run(["mount", "-i", "-t", "fuse.other", "-o", options, "theirs", place], pass_fds=[fd], check=True)
    return fd


def look(place):
    """Compare all that is asked for with what was packed."""
    assert sorted(os.listdir(place)) == ["folder", "large"]
    assert len(os.listdir(place / "folder")) == 300
    assert (place / "folder" / "299").read_bytes() == b"contents" * 299
    assert (place / "large").read_bytes() == TREE[b"large"]


@pytest.mark.semantics("adopted")
@pytest.mark.parametrize("where", ["foreground", "background"])
@pytest.mark.parametrize("end", ["umount", "SIGTERM"])
def test_a_descriptor_that_somebody_else_mounted_is_served(place, tmp_path, where, end):
    adopt_orphans()
    archive, mark, log = write_archive(tmp_path / "a.ffr", TREE), new_mark(), tmp_path / "log"
    fd = mount_by_hand(place)
    words = [archive, f"/dev/fd/{fd}", *(["-f"] if where == "foreground" else ["--log", log])]
    with log.open("ab") as stream:
        daemon = subprocess.Popen(command("mount", *words), pass_fds=[fd], env=environment(mark), stderr=stream)
    os.close(fd)
    if where == "background":
        assert daemon.wait(60) == 0
    look(place)
    ours = marked(mark)
    supervisor = daemon.pid if where == "foreground" else next(p for p in ours if parent(p) == os.getpid())
    if end == "umount":
        subprocess.run(["umount", place], check=True)
    else:
        os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: daemon.poll() is not None and not marked(mark), "everything has ended")
    assert daemon.returncode == 0
    assert len(mounts(place)) == (end == "SIGTERM"), "whoever has mounted unmounts"
    if end == "SIGTERM":
        with fails_with("ENOTCONN", "ECONNABORTED"):
            os.statvfs(place)
    assert " WARNING " not in log.read_text() and " ERROR " not in log.read_text()


@pytest.mark.semantics("adopted")
def test_a_mounter_that_drops_its_rights(place, tmp_path):
    if shutil.which("mount.fuse3") is None:
        pytest.skip("there is no mount.fuse3")
    adopt_orphans()
    archive, mark, program = write_archive(tmp_path / "a.ffr", TREE), new_mark(), tmp_path / "ffrfs-mount"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ffrfs mount --log {tmp_path / "log"} "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["mount.fuse3", f"{program}#{archive}", place, "-o", "ro,drop_privileges"],
        env=environment(mark), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done
    look(place)
    for pid in marked(mark):
        with open(f"/proc/{pid}/status") as status:
            assert "CapEff:\t0000000000000000\n" in status.read()
    subprocess.run(["umount", place], check=True)
    wait_until(lambda: not marked(mark), "everything has ended")


@pytest.mark.semantics("adopted")
def test_what_is_no_such_descriptor_is_an_error_of_one_line(tmp_path):
    archive = write_archive(tmp_path / "a.ffr", TREE)
    for number in (0, 77):
        done = ffrfs("mount", archive, f"/dev/fd/{number}", stdin=subprocess.DEVNULL)
        assert done.returncode == 3
        assert done.stderr.startswith(f"ffrfs: /dev/fd/{number} is no descriptor of /dev/fuse: ")
