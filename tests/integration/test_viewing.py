"""`ffrfs mounts`, `stats` and `top`: what they show of a real mount, and to whom."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess

import pytest

from tests.support.processes import command, environment, ffrfs, send, stop
from tests.support.users import as_user

TREE = {b"%02d" % number: b"x" * 1000 for number in range(20)}


@pytest.fixture
def workers():
    """What is shown does not depend on the number of workers."""
    return 2


def read_all(mounted):
    for path in sorted(mounted.path.iterdir()):
        path.read_bytes()


def test_statistics_count_what_was_read(mount):
    mounted = mount(TREE)
    before = json.loads(ffrfs("stats", "--json", mounted.path).stdout)["counters"]
    read_all(mounted)
    assert not (mounted.path / "absent").exists()
    facts = json.loads(ffrfs("stats", "--json", mounted.path).stdout)
    after = facts["counters"]
    assert (facts["archive"], facts["mountpoint"]) == (str(mounted.archive), str(mounted.path))
    assert (facts["files"], facts["workers"], facts["supervisor_pid"]) == (20, 2, mounted.supervisor)
    assert after["reads"] + after["prefetched"] - before["reads"] >= 20
    assert after["readdir_entries"] - before["readdir_entries"] == 22
    assert after["negative_lookups"] - before["negative_lookups"] == 1
    assert after["checksum_failures"] == after["io_errors"] == after["internal_errors"] == 0
    assert sum(facts["read_microseconds_log2"]) == after["reads"]


def test_statistics_as_a_table(mount):
    mounted = mount(TREE)
    read_all(mounted)
    done = ffrfs("stats", mounted.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{mounted.path}: 20 files of {mounted.archive}, 2 workers" in done.stdout
    assert re.search(r"names listed +22", done.stdout)
    assert max(map(len, done.stdout.splitlines()[1:])) < 100


def test_statistics_for_prometheus(mount):
    mounted = mount(TREE)
    text = ffrfs("stats", "--prometheus", mounted.path).stdout
    assert text == text.rstrip() + "\n"
    sample = re.compile(r"[a-z_]+\{([a-z]+=\"[^\"]*\",?)+\} [0-9.e+]+")
    lines = [line for line in text.splitlines() if not line.startswith("# TYPE ffrfs_")]
    assert [line for line in lines if not sample.fullmatch(line)] == []
    assert all(f'mountpoint="{mounted.path}"' in line for line in lines)
    buckets = [int(line.split()[-1]) for line in lines if line.startswith("ffrfs_read_seconds_bucket")]
    assert buckets == sorted(buckets)


def test_the_folder_is_hidden_but_there(mount):
    mounted = mount(TREE)
    assert ".ffrfs" not in os.listdir(mounted.path)
    assert os.listdir(mounted.path / ".ffrfs") == []
    assert os.path.getsize(mounted.path / ".ffrfs" / "stats") == len((mounted.path / ".ffrfs" / "stats").read_bytes())


@pytest.mark.usefixtures("root")
def test_other_users_see_nothing_unless_they_are_allowed(mount):
    closed, shared = mount(TREE), mount(TREE, "allow_other")
    for mounted, allowed in ((closed, False), (shared, True)):
        seen = subprocess.run(
            as_user("cat", mounted.path / ".ffrfs" / "stats"), capture_output=True, text=True, env=environment()
        )
        asked = subprocess.run(as_user(*command("stats", mounted.path)), capture_output=True, text=True)
        if allowed:
            assert json.loads(seen.stdout)["files"] == 20
            assert asked.returncode == 0
        else:
            assert seen.stdout == "" and "Permission denied" in seen.stderr
            assert asked.returncode == 3 and "shows nothing to this user" in asked.stderr
            assert asked.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["stats", "top"])
def test_where_nothing_is_mounted(tmp_path, name):
    for place in (tmp_path, tmp_path / "absent"):
        done = ffrfs(name, place)
        assert (done.returncode, done.stdout) == (3, "")
        assert "no archive is mounted at" in done.stderr and done.stderr.count("\n") == 1


def test_mounts_lists_where_what_who_and_how(mount):
    living, dead = mount(TREE), mount(TREE)
    listed = {row["mountpoint"]: row for row in map(json.loads, ffrfs("mounts", "--json").stdout.splitlines())}
    expected = {"archive": str(living.archive), "user": "root" if os.geteuid() == 0 else os.environ.get("USER")}
    assert listed[str(living.path)] == {"mountpoint": str(living.path), "state": "alive", **expected}
    dead.status = -signal.SIGKILL
    dead.kill()
    dead.wait_for_end(leaves_mount=True)
    lines = ffrfs("mounts").stdout.splitlines()
    assert lines[0].split() == ["MOUNTPOINT", "ARCHIVE", "USER", "STATE"]
    states = {line.split()[0]: line.split()[3] for line in lines[1:]}
    assert (states[str(living.path)], states[str(dead.path)]) == ("alive", "dead")
    for name in ("stats", "top"):
        done = ffrfs(name, dead.path)
        assert done.returncode == 3 and f"the mount at {dead.path} is dead" in done.stderr


def test_a_mount_that_hangs_is_listed_as_such(mount):
    mounted = mount(TREE)
    stop(mounted.processes)
    try:
        rows = map(json.loads, ffrfs("mounts", "--json").stdout.splitlines())
        assert {row["mountpoint"]: row["state"] for row in rows}[str(mounted.path)] == "does not answer"
    finally:
        send(mounted.processes, signal.SIGCONT)


def test_top_prints_lines_into_a_pipe(mount):
    mounted = mount(TREE)
    done = ffrfs("top", "-i", "0.1", "-n", "3", mounted.path)
    heading, *lines = done.stdout.splitlines()
    assert heading.split()[:3] == ["time", "lookups/s", "reads/s"]
    assert (done.returncode, len(lines), done.stderr) == (0, 3, "")


def test_top_ends_by_ctrl_c_and_with_its_reader(mount):
    mounted = mount(TREE)
    words = command("top", "-i", "0.1", mounted.path)
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout.readline().split()[0] == b"time"
        watching.send_signal(signal.SIGINT)
        assert (watching.wait(20), watching.stderr.read()) == (0, b"")
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        watching.stdout.readline()
        watching.stdout.close()
        assert (watching.wait(20), watching.stderr.read()) == (1, b"")


def test_top_says_when_the_mount_ends(mount):
    mounted = mount(TREE)
    with subprocess.Popen(
        command("top", "-i", "0.1", mounted.path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as watching:
        watching.stdout.readline()
        mounted.unmount()
        assert watching.wait(20) == 3
        assert b"no archive is mounted at" in watching.stderr.read()


def test_top_on_a_terminal_shows_a_table_until_q(mount):
    mounted = mount(TREE)
    ours, theirs = pty.openpty()
    terminal = {**environment(), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(
        command("top", "-i", "0.1", mounted.path), env=terminal, stdin=theirs, stdout=theirs, stderr=theirs
    ) as watching:
        try:
            os.close(theirs)
            shown = b""
            while b"now, a second" not in shown:
                shown += os.read(ours, 4096)
            os.write(ours, b"q")
            with contextlib.suppress(OSError):  # EIO once the other end is closed
                while more := os.read(ours, 4096):
                    shown += more
            assert watching.wait(20) == 0
        finally:
            watching.kill()  # it would go on as long as somebody has the terminal open
            os.close(ours)
    assert b"reads that reached ffrfs" in shown


@pytest.mark.semantics("hidden-folder")
def test_an_archive_with_a_folder_of_that_name_shows_it_and_forges_nothing(mount):
    forged = json.dumps({"archive": "\x1b[2Jforged", "counters": {}}).encode()
    mounted = mount({b".ffrfs": {b"stats": forged, b"metrics": b"\x1b[2J"}, b"a": b"a"})
    assert (mounted.path / ".ffrfs" / "stats").read_bytes() == forged
    assert json.loads(ffrfs("stats", "--json", mounted.path).stdout)["archive"] == str(mounted.archive)
    for words in (["stats"], ["stats", "--prometheus"], ["top", "-n1", "-i0.1"], ["doctor"]):
        done = ffrfs(*words, mounted.path)
        assert done.returncode == 0 or words == ["doctor"], done
        assert str(mounted.archive) in done.stdout or words[0] == "top"
        assert "\x1b" not in done.stdout + done.stderr and "forged" not in done.stdout + done.stderr


def test_statistics_of_another_file_system(tmp_path):
    (tmp_path / ".ffrfs").mkdir()
    (tmp_path / ".ffrfs" / "stats").write_text("{}")
    done = ffrfs("stats", tmp_path)
    assert done.returncode == 3 and f"no archive is mounted at {tmp_path}" in done.stderr
