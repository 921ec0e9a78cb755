"""`ffrfs run --shared`, one mount for all jobs of a node, and mounts that end when nobody uses them.

FFRFS_SHARED says how many times eight jobs are begun and killed at random.
"""

import contextlib
import os
import random
import shlex
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from ffrfs.mount.mountpoint import list_mounts
from tests.support.archives import write_archive
from tests.support.processes import adopt_orphans, command, environment, ffrfs, marked, new_mark, send, wait_until
from tests.support.users import NOBODY, as_plain_user, where_users_may_mount

pytestmark = pytest.mark.usefixtures("fuse")

ROUNDS = int(os.environ.get("FFRFS_SHARED", "3"))
TREE = {b"a": b"hello\n"}


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path / "a.ffr", TREE)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "mnt").mkdir()
    return tmp_path / "mnt"


@pytest.fixture
def mark():
    """Of all jobs, and of the daemons that they start."""
    adopt_orphans()
    return new_mark()


@pytest.fixture
def job(archive, place, tmp_path, mark):
    """A function that starts a job that shares the mount; what is left of jobs is killed in the end."""
    started = []

    def start(script):
        words = command("run", "--shared", archive, place, "--log", tmp_path / "log", "--", "sh", "-c", script)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(words, env=environment(mark), start_new_session=True, **pipes))
        return started[-1]

    yield start
    send(marked(mark), signal.SIGKILL)
    for one in started:
        one.communicate()


def mounts_at(place):
    return [mount.number for mount in list_mounts() if mount.mountpoint == os.fspath(place)]


def until(path):
    return f"while [ ! -e {path} ]; do sleep 0.05; done"


@pytest.mark.semantics("shared")
@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGKILL])
def test_the_first_mounts_and_the_last_unmounts(place, tmp_path, job, mark, number):
    first = job(f"cat {place}/a; touch {tmp_path}/1; {until(tmp_path / 'end-1')}")
    wait_until((tmp_path / "1").exists, "the first one runs")
    (mount,) = mounts_at(place)
    second = job(f"touch {tmp_path}/2; {until(tmp_path / 'end-2')}; cat {place}/a")
    wait_until((tmp_path / "2").exists, "the second one runs")
    if number is None:
        (tmp_path / "end-1").touch()
    else:
        first.send_signal(number)
    assert first.communicate(timeout=60)[0] == "hello\n"
    assert first.returncode == {None: 0, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert mounts_at(place) == [mount]
    (tmp_path / "end-2").touch()
    assert second.communicate(timeout=60) == ("hello\n", "") and second.returncode == 0
    assert mounts_at(place) == []
    wait_until(lambda: not marked(mark), "the daemon has ended")


@pytest.mark.semantics("shared")
def test_a_mount_whose_only_job_was_killed_goes_by_itself(place, tmp_path, job, mark):
    only = job(f"touch {tmp_path}/1; exec sleep 600")
    wait_until((tmp_path / "1").exists, "it runs")
    only.kill()
    wait_until(lambda: not marked(mark), "the daemon has ended")
    assert mounts_at(place) == []


@pytest.mark.semantics("shared")
def test_a_killed_daemon_is_replaced_for_the_next_job(place, tmp_path, job, mark):
    first = job(f"touch {tmp_path}/1; {until(tmp_path / 'end')}")
    wait_until((tmp_path / "1").exists, "it runs")
    facts = (place / ".ffrfs" / "stats").read_text()
    os.kill(int(facts.split('"supervisor_pid": ')[1].split(",")[0]), signal.SIGKILL)
    second = job(f"cat {place}/a")
    assert second.communicate(timeout=60)[0] == "hello\n"
    (tmp_path / "end").touch()
    assert first.wait(60) == 0
    wait_until(lambda: not marked(mark), "the daemon has ended")
    assert mounts_at(place) == []


@pytest.mark.semantics("shared")
def test_another_archive_is_an_error(place, tmp_path, job):
    first = job(f"touch {tmp_path}/1; {until(tmp_path / 'end')}")
    wait_until((tmp_path / "1").exists, "it runs")
    other = write_archive(tmp_path / "other.ffr", {b"b": b"b"})
    done = ffrfs("run", "--shared", other, place, "--", "true")
    assert done.returncode == 3 and f"another archive is mounted, {tmp_path}/a.ffr" in done.stderr
    (tmp_path / "end").touch()
    assert first.wait(60) == 0
    assert mounts_at(place) == []


@pytest.mark.semantics("shared")
def test_the_mount_of_somebody_who_does_not_share_stays(archive, place, tmp_path, job):
    assert ffrfs("mount", archive, place, "--log", tmp_path / "daemon.log").returncode == 0
    try:
        assert job(f"cat {place}/a").communicate(timeout=60) == ("hello\n", "")
        assert (place / "a").read_text() == "hello\n"
    finally:
        assert ffrfs("umount", place).returncode == 0


@pytest.mark.semantics("shared")
def test_jobs_begun_and_killed_at_random(place, job, mark):
    dice = random.Random()
    for _ in range(ROUNDS):
        jobs = []
        for _ in range(8):
            jobs.append(job(f"cat {place}/a; sleep {dice.uniform(0, 1):.2f}; cat {place}/a"))
            time.sleep(dice.uniform(0, 0.3))
        killed = dice.sample(jobs, 4)
        for victim in killed:
            with contextlib.suppress(ProcessLookupError):
                number = dice.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
                dice.choice([os.kill, os.killpg])(victim.pid, number)
            time.sleep(dice.uniform(0, 0.3))
            assert len(mounts_at(place)) < 2
        for started in jobs:
            output, errors = started.communicate(timeout=60)
            if started not in killed:
                assert (started.returncode, output, errors) == (0, "hello\nhello\n", "")
        wait_until(lambda: not marked(mark), "no process is left")
        assert mounts_at(place) == []


@pytest.mark.semantics("idle-timeout")
def test_a_mount_that_nobody_uses_ends(root, mount):
    mounted = mount(TREE, "idle_timeout=2s")
    with (mounted.path / "a").open() as file:
        time.sleep(5)
        assert mounted.is_mounted() and file.read() == "hello\n"
    wait_until(lambda: not mounted.is_mounted(), "it is unmounted", 30)
    mounted.wait_for_end()


@pytest.mark.semantics("shared")
def test_ordinary_users_share_too(root):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_archive(folder / "a.ffr", TREE)
        for own in ("mnt", "home"):
            (folder / own).mkdir()
            os.chown(folder / own, NOBODY, NOBODY)
        place, log = folder / "mnt", folder / "home" / "log"
        words = ("-m", "ffrfs", "run", "--shared", folder / "a.ffr", place, "--log", log)
        job = shlex.join(as_plain_user(*words, "--", "sh", "-c", f"cat {place}/a; sleep 1; cat {place}/a"))
        gone = f"while grep -q ' {place} ' /proc/self/mountinfo; do sleep 0.1; done"
        done = subprocess.run(
            where_users_may_mount(folder / "fuse", f"{job} & {job} & wait; {gone}"), capture_output=True, text=True
        )
        assert (done.stdout, done.stderr) == ("hello\n" * 4, "")
        wait_until(lambda: "is unmounted" in log.read_text(), "the daemon has ended")
