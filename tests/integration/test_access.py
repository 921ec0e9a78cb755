"""Who is let into a mount, and where an ordinary user cannot make root write, mount or unmount."""

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from ffrfs.mount.mountpoint import list_mounts
from tests.support.archives import write_archive
from tests.support.mounts import mounted
from tests.support.processes import ffrfs, marked, new_mark, wait_until
from tests.support.users import NOBODY

pytestmark = pytest.mark.usefixtures("fuse", "root")

SOMEBODY, GROUP = 12345, 54321
TREE = {b"a": b"contents of a\n", b"d": {b"b": b"contents of b\n"}}
FOLDERS = (".", "d", ".ffrfs")
PLACES = (*FOLDERS, "a", "d/b", ".ffrfs/stats", ".ffrfs/metrics")


@pytest.fixture
def folder():
    """A folder that all users may enter, with an archive; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        write_archive(Path(name, "a.ffr"), TREE)
        yield Path(name)


@pytest.fixture
def serve(folder, workers):
    """A function that mounts as root with these options, for the length of the test."""
    with contextlib.ExitStack() as mounts:
        yield lambda *options, path=None: mounts.enter_context(
            mounted(folder / "a.ffr", folder, f"workers={workers}", *options, path=path)
        )


def as_plain(user, group, *command):
    """Run a command as an ordinary user without any right."""
    drop = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    return subprocess.run([*drop, *map(os.fspath, command)], capture_output=True, text=True, cwd="/")


def readable(mount, user=NOBODY, group=NOBODY):
    """Those of `PLACES` that a user can read; the others must show nothing at all."""
    found = []
    for place in PLACES:
        show = ("ls", "-A") if place in FOLDERS else ("cat",)
        done = as_plain(user, group, *show, mount.path / place)
        if done.returncode == 0:
            found.append(place)
        else:
            assert done.stdout == "" and "Permission denied" in done.stderr
    return tuple(found)


@pytest.mark.semantics("owner-only")
def test_nobody_else_gets_in(serve):
    mount = serve()
    assert readable(mount) == ()
    assert readable(mount, 0, 0) == PLACES
    assert "Permission denied" in as_plain(NOBODY, NOBODY, "stat", mount.path).stderr


@pytest.mark.semantics("owner-only")
def test_no_owner_or_mode_lets_anybody_else_in(serve):
    assert readable(serve(f"uid={NOBODY}", "umask=0")) == ()


@pytest.mark.semantics("allow-other")
def test_all_get_in_with_allow_other(serve):
    assert readable(serve("allow_other")) == PLACES


@pytest.mark.semantics("allow-other")
def test_with_allow_other_owner_and_modes_decide(serve):
    mount = serve("allow_other", f"uid={SOMEBODY}", f"gid={GROUP}", "umask=027")
    assert readable(mount) == ()
    assert readable(mount, SOMEBODY) == PLACES
    assert readable(mount, NOBODY, GROUP) == PLACES


@pytest.mark.semantics("allow-other")
def test_statistics_are_for_those_who_may_read_files(serve):
    """Where folders can be entered, but nothing be read."""
    mount = serve("allow_other", "umask=004")
    assert readable(mount) == ()
    mount_names = as_plain(
        NOBODY, NOBODY, "stat", "-c", "%A", mount.path, mount.path / "a", mount.path / ".ffrfs/stats"
    )
    assert mount_names.stdout.splitlines() == ["dr-xr-x--x", "-r--r-----", "-r--r-----"]


@pytest.fixture
def precious(folder):
    """A place where root alone may write, and where a user would have root do something."""
    place = folder / "precious"
    (place / "mnt").mkdir(parents=True)
    (place / "file").write_text("as it was\n")
    return place


@pytest.fixture
def theirs(folder):
    """A folder of an ordinary user's."""
    place = folder / "theirs"
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    return place


def as_user_link(path, target):
    path.symlink_to(target)
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def mounts_below(place):
    return [mount.mountpoint for mount in list_mounts(None) if mount.mountpoint.startswith(f"{place}/")]


@pytest.mark.semantics("user-paths")
@pytest.mark.parametrize("name", ["log", "link/file"])
def test_root_writes_no_log_where_a_user_leads(folder, theirs, precious, name):
    as_user_link(theirs / "log", precious / "file")
    as_user_link(theirs / "link", precious)
    (folder / "mnt").mkdir()
    done = ffrfs("mount", folder / "a.ffr", folder / "mnt", "--log", theirs / name)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and f"other users can change {theirs}:" in done.stderr
    assert (precious / "file").read_text() == "as it was\n"
    assert mounts_below(folder) == []


@pytest.mark.semantics("user-paths")
@pytest.mark.parametrize("name", ["mnt", "link/mnt"])
def test_root_mounts_nowhere_where_a_user_s_link_leads(folder, theirs, precious, name):
    as_user_link(theirs / "mnt", precious / "mnt")
    as_user_link(theirs / "link", precious)
    done = ffrfs("mount", folder / "a.ffr", theirs / name, "--log", folder / "log")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert f"leads through {theirs / name.partition('/')[0]}, a link that other users can change" in done.stderr
    assert mounts_below(folder) == []


@pytest.mark.semantics("user-paths")
def test_root_mounts_on_a_user_s_folder_and_through_links_of_its_own(folder, theirs, serve):
    (theirs / "mnt").mkdir()
    (folder / "link").symlink_to("theirs")
    mount = serve("allow_other", path=theirs / "mnt")
    assert readable(mount) == PLACES
    mount.unmount()
    log, mark = folder / "log-of-another", new_mark()
    assert ffrfs("mount", folder / "a.ffr", folder / "link/mnt", "--log", log, mark=mark).returncode == 0
    assert mounts_below(folder) == [f"{theirs}/mnt"]
    assert ffrfs("umount", folder / "link/mnt").returncode == 0
    wait_until(lambda: not marked(mark), "the daemon has written its last line into the folder")


SWAP = """
import contextlib, os, random, sys, time
theirs, precious = sys.argv[1:]
os.chdir(theirs)
while True:
    time.sleep(random.random() / 50)
    with contextlib.suppress(OSError):
        os.rename("dir", "real")
        os.symlink(precious, "dir")
    time.sleep(random.random() / 50)
    with contextlib.suppress(OSError):
        os.unlink("dir")
        os.rename("real", "dir")
"""


@pytest.mark.semantics("user-paths")
def test_a_user_who_swaps_the_mount_point_while_root_mounts(folder, theirs, precious):
    (theirs / "dir" / "mnt").mkdir(parents=True)
    for path in (theirs / "dir", theirs / "dir" / "mnt"):
        os.chown(path, NOBODY, NOBODY)
    mark = new_mark()
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    swapping = subprocess.Popen([*drop, "/usr/bin/python3", "-c", SWAP, theirs, precious])
    try:
        for _ in range(12):
            done = ffrfs("mount", folder / "a.ffr", theirs / "dir/mnt", "--log", folder / "log", mark=mark)
            assert done.returncode in (0, 1, 2, 3) and "Traceback" not in done.stderr
            assert mounts_below(precious) == []
            for place in mounts_below(folder):
                assert place in (f"{theirs}/dir/mnt", f"{theirs}/real/mnt")
                subprocess.run(["umount", "--lazy", "--no-canonicalize", place], check=False, capture_output=True)
        assert swapping.poll() is None, "nobody was swapping"
    finally:
        swapping.kill()
        swapping.wait()
        for place in mounts_below(folder):
            subprocess.run(["umount", "--lazy", place], check=True)
        wait_until(lambda: not marked(mark), "no daemon is left that writes into the folder")


@pytest.mark.semantics("user-paths")
def test_the_daemon_unmounts_what_it_mounted_wherever_that_is(folder, theirs, precious, serve):
    """A user has put a link to another mount where the mount point was."""
    (theirs / "dir" / "mnt").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", precious / "mnt"], check=True)
    try:
        mount = serve(path=theirs / "dir/mnt")
        moved = as_plain(NOBODY, NOBODY, "sh", "-c", 'cd "$0" && mv dir real && ln -s "$1" dir', theirs, precious)
        assert moved.returncode == 0, moved.stderr
        assert mounts_below(folder) == [f"{precious}/mnt", f"{theirs}/real/mnt"]
        os.kill(mount.supervisor, signal.SIGTERM)
        mount.wait_for_end()
        assert mounts_below(folder) == [f"{precious}/mnt"]
    finally:
        subprocess.run(["umount", precious / "mnt"], check=True)


@pytest.mark.semantics("user-paths")
def test_umount_follows_no_link_to_a_mount(folder, theirs, serve):
    mount = serve()
    as_user_link(theirs / "link", mount.path)
    done = ffrfs("umount", theirs / "link")
    assert done.returncode == 3 and "a link that other users can change" in done.stderr
    assert mount.is_mounted()
