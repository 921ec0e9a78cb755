"""SIGHUP and SIGUSR1 to the supervisor of a real mount."""

import os
import re
import signal

from tests.support.archives import write_archive
from tests.support.processes import ffrfs, open_descriptors, send, stop, wait_until

TREE = {b"a": b"a" * 1000}


def test_a_hangup_opens_the_log_anew(mount):
    mounted = mount(TREE)
    old = mounted.log.rename(mounted.log.with_name("log.1"))
    before = open_descriptors(mounted.supervisor)
    os.kill(mounted.supervisor, signal.SIGHUP)
    wait_until(mounted.log.exists, "there is a log again")
    assert open_descriptors(mounted.supervisor) == before
    mounted.unmount()
    assert "is unmounted" in mounted.log.read_text()
    assert "serving" in old.read_text() and "is unmounted" not in old.read_text()


def test_a_hangup_reports_a_replaced_archive(mount, tmp_path):
    mounted = mount(TREE)
    mounted.tolerated = ["was replaced or removed"]
    os.kill(mounted.supervisor, signal.SIGHUP)
    os.kill(mounted.supervisor, signal.SIGUSR1)
    wait_until(lambda: "trio tasks" in mounted.log.read_text(), "both signals are handled")
    assert "was replaced" not in mounted.log.read_text()
    os.replace(write_archive(tmp_path / "new.ffr", {b"b": b"b"}), mounted.archive)
    os.kill(mounted.supervisor, signal.SIGHUP)
    wait_until(lambda: f"{mounted.archive} was replaced" in mounted.log.read_text(), "the replacement is reported")
    assert os.listdir(mounted.path) == ["a"] and (mounted.path / "a").read_bytes() == TREE[b"a"]


def test_a_relative_path_of_the_archive_is_found_again(tmp_path):
    write_archive(tmp_path / "a.ffr", TREE)
    (tmp_path / "mnt").mkdir()
    assert ffrfs("mount", "a.ffr", "mnt", "--log", "log", cwd=tmp_path).returncode == 0
    try:
        facts = (tmp_path / "mnt" / ".ffrfs" / "stats").read_text()
        supervisor = int(facts.split('"supervisor_pid": ')[1].split(",")[0])
        os.kill(supervisor, signal.SIGHUP)
        os.kill(supervisor, signal.SIGUSR1)
        wait_until(lambda: "trio tasks" in (tmp_path / "log").read_text(), "both signals are handled")
        assert "was replaced" not in (tmp_path / "log").read_text()
    finally:
        assert ffrfs("umount", tmp_path / "mnt").returncode == 0


def test_usr1_logs_tasks_and_the_stacks_of_every_process(mount):
    mounted = mount(TREE)
    children = mounted.children
    os.kill(mounted.supervisor, signal.SIGUSR1)
    wait_until(lambda: mounted.log.read_text().count("stacks\n") == 1 + len(children), "every process is in the log")
    log = mounted.log.read_text()
    assert "supervisor.Supervisor._watch" in log
    for pid in children:
        assert f"process {pid} " in log
    assert log.count("in run_worker") == len(children) - 2  # the others, the one that reads ahead and the guardian
    assert "prefetch/process.py" in log and "in guard" in log
    assert (mounted.path / "a").read_bytes() == TREE[b"a"]
    assert mounted.children == children


def test_usr1_names_a_process_that_cannot_answer(mount):
    mounted = mount(TREE)
    mounted.tolerated = [r"is stopped: replacing it", r"ended with status -9; starting another"]  # after some seconds
    stopped = mounted.children[0]
    stop([stopped])
    try:
        os.kill(mounted.supervisor, signal.SIGUSR1)
        silent = re.compile(rf"process {stopped} .*: stacks\nit writes no stacks")
        wait_until(lambda: silent.search(mounted.log.read_text()), "that is in the log")
    finally:
        send([stopped], signal.SIGCONT)
