"""Mounts whose beginning is interrupted: in the end there is one that works and was announced, or none.

FFRFS_BEGINNINGS says how many are interrupted, each at a random moment.
"""

import contextlib
import os
import random
import signal
import subprocess
import time

import pytest

from ffrfs.mount.mountpoint import list_mounts
from tests.support.archives import write_archive
from tests.support.processes import adopt_orphans, command, environment, ffrfs, marked, new_mark, send, wait_until

pytestmark = [pytest.mark.usefixtures("fuse"), pytest.mark.semantics("interrupted-beginnings")]

BEGINNINGS = int(os.environ.get("FFRFS_BEGINNINGS", "20"))
TREE = {b"a": b"hello\n"}
WAYS = [
    (number, group)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP)
    for group in (True, False)
]


@pytest.fixture
def place(tmp_path):
    (tmp_path / "mnt").mkdir()
    return tmp_path / "mnt"


def start(mark, *words):
    """Start a command in a process group of its own; Ctrl-C reaches it, whatever started this test ignores."""
    return subprocess.Popen(
        command(*words),
        env=environment(mark),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def interrupt(process, number, group):
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(process.pid, number)
    return process.wait(60)


def is_mounted(place):
    return any(mount.mountpoint == os.fspath(place) for mount in list_mounts())


def lives_on(mark):
    """Whether the mount was announced just before its command was killed, which it then could not say."""
    deadline = time.monotonic() + 10
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(marked(mark))


def usual_seconds(*words):
    begin = time.monotonic()
    assert ffrfs(*words).returncode == 0
    return time.monotonic() - begin


def moments(seconds):
    """Ways to interrupt, with the time after which to do it."""
    dice = random.Random()
    for number in range(BEGINNINGS):
        yield *WAYS[number % len(WAYS)], dice.uniform(0, 1.1 * seconds)


def test_mount(tmp_path, place):
    adopt_orphans()
    archive = write_archive(tmp_path / "a.ffr", TREE)
    words = ("mount", archive, place, "--log", tmp_path / "log", "-o", "workers=1")
    seconds = usual_seconds(*words)
    assert ffrfs("umount", place).returncode == 0
    for number, group, moment in moments(seconds):
        what, mark = f"{number.name} after {moment:.3f} s, group: {group}", new_mark()
        process = start(mark, *words)
        time.sleep(moment)
        status = interrupt(process, number, group)
        if status == 0 or (status == -signal.SIGKILL and lives_on(mark)):
            assert (place / "a").read_bytes() == TREE[b"a"], what
            assert ffrfs("umount", place).returncode == 0, what
        wait_until(lambda: not marked(mark), f"{what}: no process is left")  # noqa: B023
        assert not is_mounted(place), what


def test_run(tmp_path, place):
    adopt_orphans()
    archive = write_archive(tmp_path / "a.ffr", TREE)
    words = ("run", archive, place, "-o", "workers=1", "--", "cat", place / "a")
    seconds = usual_seconds(*words)
    for number, group, moment in moments(seconds):
        what, mark = f"{number.name} after {moment:.3f} s, group: {group}", new_mark()
        process = start(mark, *words)
        time.sleep(moment)
        interrupt(process, number, group)
        wait_until(lambda: not marked(mark), f"{what}: no process is left")  # noqa: B023
        assert not is_mounted(place), what


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_foreground(tmp_path, place, number):
    adopt_orphans()
    archive = write_archive(tmp_path / "a.ffr", TREE)
    for attempt in range(max(BEGINNINGS // 5, 2)):
        mark = new_mark()
        process = start(mark, "mount", "-f", archive, place, "-o", "workers=1")
        wait_until(lambda: is_mounted(place), "it is being mounted")
        if number == signal.SIGKILL:
            send(sorted(marked(mark))[:1], signal.SIGSTOP)
        interrupt(process, number, False)
        wait_until(lambda: not marked(mark), f"attempt {attempt}: no process is left")  # noqa: B023
        if is_mounted(place):  # it was ready before it was killed
            assert number == signal.SIGKILL
            assert ffrfs("umount", place).returncode == 0
