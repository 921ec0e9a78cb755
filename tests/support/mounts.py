"""Real mounts by the real command line, which must end well: nothing left, status 0, a clean log."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from ffrfs.mount.mountpoint import list_mounts
from tests.support.processes import (
    adopt_orphans,
    ffrfs,
    marked,
    new_mark,
    open_descriptors,
    parent,
    wait_until,
)

_TROUBLE = re.compile(r" (WARNING|ERROR|CRITICAL) |^Traceback|^\w*(Error|Exception)\b", re.MULTILINE)
HANG_SECONDS = 240.0  # below pytest's timeout, which cannot end a process that waits for a mount
MODULE_HANG_SECONDS = 1200.0  # where all tests of a module look at one mount


class Mounted:
    """One mount in the background, which answers.

    Attributes: supervisor, the daemon's process id; path, the mount point; archive; log, the daemon's log file;
    tolerated, regular expressions for lines of trouble in the log that the test provokes; status, the exit status that
    the daemon is to end with.
    """

    def __init__(self, archive: Path, path: Path, log: Path, options: tuple[str, ...], mark: str) -> None:
        self.archive, self.path, self.log, self.options, self.mark = archive, path, log, options, mark
        self.tolerated: list[str] = []
        self.status = 0
        self._place = os.path.realpath(path)
        ours = marked(mark)
        self.supervisor = next(pid for pid in ours if parent(pid) not in (0, *ours))

    @property
    def children(self) -> list[int]:
        """The process ids of the workers, and whatever else the supervisor keeps."""
        return [pid for pid in marked(self.mark) if parent(pid) == self.supervisor]

    @property
    def processes(self) -> list[int]:
        """All process ids of this mount."""
        return marked(self.mark)

    def is_mounted(self) -> bool:
        """Whether the mount table has it; the mount itself is not asked."""
        return any(mount.mountpoint == self._place for mount in list_mounts())

    def waiting(self) -> int:
        """How many requests the kernel has sent or will send and has no answer to. Needs root."""
        connection = next(m.connection for m in list_mounts() if m.mountpoint == self._place)
        return int(fusectl(f"cat {connection}/waiting"))

    def unmount(self) -> None:
        """Unmount by the command and wait until nothing is left; also for a mount whose processes are dead."""
        done = ffrfs("umount", self.path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        self.wait_for_end()

    def wait_for_end(self, leaves_mount: bool = False) -> None:
        """Wait until no process is left; asserts the daemon's exit status, and that the mount is gone or not."""
        # Another mount namespace, made meanwhile by somebody else's test, may hold a copy of the mount for a while.
        wait_until(lambda: not self.processes, f"the processes of {self.path} have ended", 90)
        with contextlib.suppress(ChildProcessError):  # it was waited for before
            _, status = os.waitpid(self.supervisor, 0)
            assert os.waitstatus_to_exitcode(status) == self.status, self.log.read_text()
        assert self.is_mounted() == leaves_mount

    def kill(self) -> None:
        """End all its processes by SIGKILL."""
        for pid in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def descriptors(self) -> int:
        """How many descriptors its processes have open."""
        return sum(map(open_descriptors, self.processes))

    def trouble(self) -> list[str]:
        """Lines of the log that no test has announced."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        bad = [line for line in lines if _TROUBLE.search(line)]
        return [line for line in bad if not any(re.search(pattern, line) for pattern in self.tolerated)]


def fusectl(script: str) -> str:
    """What a shell script prints in the folder where the kernel shows its FUSE connections. Needs root."""
    # A folder of its own: it may be mounted at /sys/fs/fuse/connections already, and there is no second time.
    look = f"mount -t fusectl none /mnt && cd /mnt && {script}"
    return subprocess.run(["unshare", "--mount", "sh", "-c", look], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def mounted(
    archive: Path,
    folder: Path,
    *options: str,
    others: tuple[Path, ...] = (),
    path: Path | None = None,
    says: str = "",
    hang_seconds: float = HANG_SECONDS,
    module: str = "ffrfs",
) -> Iterator[Mounted]:
    """Mount an archive while the block runs.

    Args: folder, where the mount point `mnt` and the log `log` are made; options, of `-o`; others, more archives; path,
    another mount point; says, a regular expression for what the command prints to standard error; hang_seconds, after
    which it is killed; module, a program that is run in place of `ffrfs`.
    Afterwards the mount must be gone or go by `ffrfs umount`, all processes with it, with the status expected and no
    unexpected trouble in the log.
    """
    adopt_orphans()
    path = path if path is not None else folder / "mnt"
    path.mkdir(exist_ok=True)
    log, mark = folder / "log", new_mark()
    words = [f"-o{option}" for option in options]
    done = ffrfs("mount", archive, *others, path, "--log", log, *words, mark=mark, module=module)
    assert (done.returncode, done.stdout) == (0, "") and re.fullmatch(says, done.stderr), done
    mount = Mounted(archive, path, log, options, mark)
    hang = threading.Timer(hang_seconds, mount.kill)
    hang.daemon = True
    hang.start()
    try:
        yield mount
        if mount.is_mounted():
            mount.unmount()
        else:
            mount.wait_for_end()
        assert mount.trouble() == []
    finally:
        hang.cancel()
        mount.kill()
        if mount.is_mounted():
            ffrfs("umount", path)
        reap()


def reap() -> None:
    """Take the exit statuses of orphans that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
