"""The processes that a test has started, found and waited for even when they have gone to the background.

Every process started by `ffrfs` here carries a mark in its environment, which its children inherit, and the test
process is made the reaper of orphans, so it learns the exit status of a daemon too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_MARK = "FFRFS_TEST_MARK"
COMMAND_SECONDS = 60.0


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent dies."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def new_mark() -> str:
    """A mark for the processes of one mount."""
    return uuid.uuid4().hex


def ffrfs(
    *arguments: str | os.PathLike[str], mark: str = "", module: str = "ffrfs", **options: object
) -> subprocess.CompletedProcess[str]:
    """Run the real command line to its end; never raises for an exit status, always ends in time."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", module, *map(os.fspath, arguments)],
        **{"capture_output": True, "text": True, "timeout": COMMAND_SECONDS, "env": environment(mark), **options},
    )


def command(*arguments: str | os.PathLike[str]) -> list[str]:
    """The argument vector of a command line of ffrfs."""
    return [sys.executable, "-m", "ffrfs", *map(os.fspath, arguments)]


def environment(mark: str = "") -> dict[str, str]:
    """The environment of this process, with the mark."""
    return {**os.environ, _MARK: mark}


def marked(mark: str) -> list[int]:
    """The living processes that carry the mark."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0") and not has_ended(int(entry.name)):
                    found.append(int(entry.name))
    return sorted(found)


def has_ended(pid: int) -> bool:
    """Whether a process has ended; perhaps it waits for its parent to learn that."""
    try:
        return _status_fields(pid)[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def parent(pid: int) -> int:
    """The parent of a process; 0 if it has ended."""
    try:
        return int(_status_fields(pid)[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to those of the processes that have not ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def stop(pids: Iterable[int]) -> None:
    """Stop processes, and wait until they are: until then, one still takes a request that has woken it."""
    stopped = list(pids)
    send(stopped, signal.SIGSTOP)
    wait_until(lambda: all(has_ended(pid) or _status_fields(pid)[0] == "T" for pid in stopped), "they are stopped")


def cpu_ticks(pid: int) -> int:
    """The CPU time of a process, user and system, in clock ticks."""
    fields = _status_fields(pid)
    return int(fields[11]) + int(fields[12])


def open_descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid: int) -> int:
    """The resident memory of a process, KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for a condition; fails with `what` if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.01)


def _status_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, the state, on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
