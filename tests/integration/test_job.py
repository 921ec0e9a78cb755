"""`ffrfs run`: the mounts are there for the command, and gone afterwards, whatever happens to either."""

import os
import signal
import subprocess

import pytest

from ffrfs.mount.mountpoint import list_mounts
from tests.support.archives import write_archive
from tests.support.mounts import fusectl
from tests.support.processes import adopt_orphans, command, environment, ffrfs, marked, new_mark, send, stop, wait_until

pytestmark = pytest.mark.usefixtures("fuse")

TREE = {b"a.txt": b"hello\n", b"sub": {b"b": b"hi"}}


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path / "a.ffr", TREE)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "mnt").mkdir()
    return tmp_path / "mnt"


@pytest.fixture
def jobs():
    """A function that starts a job and returns it with its mark; what is left of jobs is killed in the end."""
    adopt_orphans()
    started = []

    def start(*arguments):
        mark = new_mark()
        job = subprocess.Popen(command("run", *arguments), env=environment(mark), stderr=subprocess.PIPE, text=True)
        started.append((job, mark))
        return job, mark

    yield start
    for job, mark in started:
        send(marked(mark), signal.SIGKILL)
        job.wait()
        job.stderr.close()


def mounted_at(place):
    return any(mount.mountpoint == os.fspath(place) for mount in list_mounts())


def shell(script):
    return ("--", "sh", "-c", script)


def test_the_command_reads_the_mount_and_its_status_is_ours(archive, place):
    done = ffrfs("run", archive, place, *shell(f"cat {place}/a.txt {place}/sub/b; exit 7"))
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello\nhi", "")
    assert not mounted_at(place)


def test_several_mounts_and_options(archive, place, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    mounts = ("--mount", f"{archive}:{place}", "--mount", f"{archive}:{other}", "--uid", "12345")
    done = ffrfs("run", *mounts, *shell(f"cat {place}/a.txt; stat -c %u {other}/a.txt"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n12345\n", "")
    assert not mounted_at(place) and not mounted_at(other)


def test_a_mount_that_fails_leaves_none(archive, place, tmp_path):
    full = tmp_path / "full"
    (full / "sub").mkdir(parents=True)
    done = ffrfs("run", "--mount", f"{archive}:{place}", "--mount", f"{archive}:{full}", *shell("echo never"))
    assert (done.returncode, done.stdout) == (3, "") and "is not empty" in done.stderr
    assert not mounted_at(place) and not mounted_at(full)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [(["no-such-command"], 127, "No such file"), (["/dev/null"], 126, "Permission denied")],
)
def test_a_command_that_cannot_be_run(archive, place, words, status, message):
    done = ffrfs("run", archive, place, "--", *words)
    assert done.returncode == status and done.stderr.count("\n") == 1 and message in done.stderr
    assert not mounted_at(place)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--", "true"],
        ["a.ffr", "--", "true"],
        ["a.ffr", "mnt"],
        ["a.ffr", "mnt", "true"],
        ["--mount", "a", "--", "b"],
    ],
)
def test_nonsense_is_refused(words):
    done = ffrfs("run", *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_command_ended_by_a_signal(archive, place):
    done = ffrfs("run", archive, place, *shell("kill -KILL $$"))
    assert (done.returncode, done.stderr) == (128 + signal.SIGKILL, "")
    assert not mounted_at(place)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_command(archive, place, tmp_path, jobs, number):
    up, name = tmp_path / "up", number.name.removeprefix("SIG")
    script = f"trap 'cat {place}/a.txt > {up}; exit 5' {name}; echo > {up}; while :; do sleep 0.05; done"
    job, _ = jobs(archive, place, *shell(script))
    wait_until(up.exists, "the command runs")
    job.send_signal(number)
    assert job.wait(20) == 5
    assert up.read_text() == "hello\n"  # while the trap runs, the mount is there
    assert not mounted_at(place)


def test_a_killed_job_leaves_nothing(archive, place, tmp_path, jobs):
    up = tmp_path / "up"
    job, mark = jobs(archive, place, *shell(f"echo > {up}; exec sleep 600"))
    wait_until(up.exists, "the command runs")
    job.kill()
    wait_until(lambda: not marked(mark), "command, supervisor and workers have ended")
    assert not mounted_at(place)


def test_a_killed_daemon_is_reported_and_cleaned(archive, place, tmp_path, jobs):
    pid_file, go = tmp_path / "pid", tmp_path / "go"
    script = f"""
        cat {place}/.ffrfs/stats > {pid_file}.new; mv {pid_file}.new {pid_file}
        while [ ! -e {go} ]; do sleep 0.05; done; cat {place}/a.txt; exit 9
    """
    job, mark = jobs(archive, place, *shell(script))
    wait_until(pid_file.exists, "the command runs")
    supervisor = int(pid_file.read_text().split('"supervisor_pid": ')[1].split(",")[0])
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: len(marked(mark)) <= 3, "the workers have ended")  # the job, the shell and its sleep
    go.touch()
    assert job.wait(20) == 9
    assert f"the mount at {place} has ended before the command" in job.stderr.read()
    assert not mounted_at(place)


def test_what_the_command_leaves_behind_does_not_keep_the_job_for_ever(archive, place, tmp_path, jobs):
    up = tmp_path / "up"
    script = f"sh -c 'exec 3< {place}/a.txt; echo > {up}; exec sleep 600' & while [ ! -e {up} ]; do sleep 0.05; done"
    job, mark = jobs(archive, place, *shell(script))
    wait_until(lambda: up.exists() and not mounted_at(place), "the mount is on its way out")
    job.send_signal(signal.SIGTERM)  # somebody is in a hurry
    assert job.wait(20) == 0
    wait_until(lambda: len(marked(mark)) == 1, "only what was left behind is left")


def test_private_mounts_are_seen_by_the_command_alone(archive, place, tmp_path, jobs):
    up, done = tmp_path / "up", tmp_path / "done"
    script = f"cat {place}/a.txt > {up}.new; mv {up}.new {up}; while [ ! -e {done} ]; do sleep 0.05; done; exit 4"
    job, _ = jobs("--private", archive, place, *shell(script))
    wait_until(up.exists, "the command runs")
    assert up.read_text() == "hello\n"
    assert not mounted_at(place) and os.listdir(place) == []
    done.touch()
    assert job.wait(20) == 4


def test_nothing_is_left_of_a_private_job_whose_processes_are_all_killed_at_once(root, archive, place, tmp_path, jobs):
    up = tmp_path / "up"
    job, mark = jobs("--private", archive, place, *shell(f"stat -c %d {place} > {up}.new; mv {up}.new {up}; sleep 600"))
    wait_until(up.exists, "the command runs")
    connection = str(os.minor(int(up.read_text())))
    assert connection in fusectl("ls").split()
    stop(marked(mark))  # none may tidy up
    send(marked(mark), signal.SIGKILL)
    wait_until(lambda: connection not in fusectl("ls").split(), "the kernel has let go of the mount")
    assert job.wait(20) == -signal.SIGKILL
