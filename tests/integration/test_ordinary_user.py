"""Users without any right mount through fusermount3, are served, and unmount."""

import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.archives import write_archive
from tests.support.processes import command, wait_until
from tests.support.users import NOBODY, as_plain_user, where_users_may_mount

pytestmark = pytest.mark.usefixtures("fuse", "root")


@pytest.fixture
def folder():
    """A folder that all users may enter, with an archive, and a mount point of the user's; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        write_archive(Path(name, "a.ffr"), {b"a.txt": b"hello\n"})
        Path(name, "mnt").mkdir()
        os.chown(Path(name, "mnt"), NOBODY, NOBODY)
        yield Path(name)


def user(*arguments):
    """A line of a shell script: Python with these arguments, as the user."""
    return shlex.join(as_plain_user(*arguments))


def run(folder, *lines):
    script = where_users_may_mount(folder / "fuse", "\n".join(["set -x", *lines]))
    return subprocess.run(script, capture_output=True, text=True)


def test_a_user_mounts_reads_and_unmounts(folder):
    place, log = folder / "mnt", folder / "log"
    log.touch()
    os.chown(log, NOBODY, NOBODY)
    done = run(
        folder,
        user("-m", "ffrfs", "mount", folder / "a.ffr", place, "--workers=3", "--log", log),
        user("-c", f"print(open('{place}/a.txt').read(), end='')"),
        f"cat {place}/a.txt && echo that root is let in",
        shlex.join(command("mounts", "--json")),
        user("-m", "ffrfs", "stats", "--json", place),
        user("-m", "ffrfs", "umount", place),
    )
    hello, *mounts, facts = done.stdout.splitlines()
    assert hello == "hello", done.stderr
    assert "Permission denied" in done.stderr  # root's cat
    listed = {row["mountpoint"]: row for row in map(json.loads, mounts)}
    assert listed[str(place)]["user"] == "nobody"
    assert listed[str(place)]["state"] == "alive"  # root asks in the user's name
    assert json.loads(facts)["workers"] == 3
    wait_until(lambda: f"{place} is unmounted\n" in log.read_text(), "the daemon has ended")


@pytest.mark.semantics("owner-only")
def test_neither_root_nor_another_user_sees_anything_of_a_user_s_mount(folder):
    place = folder / "mnt"
    places = " ".join(f"{place}/{name}" for name in ("", "a.txt", ".ffrfs", ".ffrfs/stats", ".ffrfs/metrics"))
    looks = f"for p in {places}; do ls $p; cat $p; stat $p; head -c 1 $p; done"
    other = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "sh", "-c", looks]
    done = run(
        folder,
        user("-m", "ffrfs", "mount", folder / "a.ffr", place, "--log", "/dev/null"),
        "set +x",
        "exec 2>&1",
        shlex.join(["sh", "-c", looks]),
        shlex.join(other),
        user("-m", "ffrfs", "umount", place),
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * 5 * 4, done
    assert all(line.endswith(": Permission denied") for line in lines), done


def test_a_user_runs_a_job_in_a_namespace_of_its_own(folder):
    place = folder / "mnt"
    script = f"id -u; cat {place}/a.txt; exit 3"
    done = run(
        folder, user("-m", "ffrfs", "run", "--private", folder / "a.ffr", place, "--", "sh", "-c", script) + "; exit $?"
    )
    assert (done.returncode, done.stdout) == (3, f"{NOBODY}\nhello\n"), done.stderr


def test_allow_other_needs_the_line_in_fuse_conf(folder):
    if "user_allow_other" in [line.strip() for line in Path("/etc/fuse.conf").read_text().splitlines()]:
        pytest.skip("this system lets users mount with allow_other")
    done = run(
        folder, user("-m", "ffrfs", "mount", "-f", "--allow-other", folder / "a.ffr", folder / "mnt") + "; exit $?"
    )
    assert done.returncode == 3 and "must have the line 'user_allow_other'" in done.stderr


def test_a_user_who_may_not_open_the_device_is_told(folder):
    if os.stat("/dev/fuse").st_mode & 0o006:
        pytest.skip("this system lets users open /dev/fuse")
    words = as_plain_user("-m", "ffrfs", "mount", folder / "a.ffr", folder / "mnt")
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "/dev/fuse cannot be opened (Permission denied): root lets users mount by" in done.stderr
    words = as_plain_user("-m", "ffrfs", "doctor")
    assert "problem  /dev/fuse cannot be opened" in subprocess.run(words, capture_output=True, text=True).stdout
