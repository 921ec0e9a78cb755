"""A job with mounts of its own: mount, run a command, unmount, whatever happens to the command or to the job.

The job's process keeps one supervisor for each mount, as a child that the kernel tells when the job is killed, and the
command, which gets the signals that the job gets. It never has a second thread, so a fork is always safe.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import NoReturn

from ffrfs.daemon.background import ENDING, Awaited, daemon_pid, serve_and_exit
from ffrfs.daemon.cleaner import Cleaner
from ffrfs.daemon.serve import PreparedMount
from ffrfs.daemon.shared import SharedMount
from ffrfs.errors import FfrfsError
from ffrfs.linux.namespace import enter_private_namespace
from ffrfs.linux.processes import end_with_parent
from ffrfs.mount.mountpoint import clean_stale

__all__ = ["CommandError", "go_on_in_private_namespace", "run_job", "run_shared_job"]

logger = logging.getLogger(__name__)

_SI_KERNEL = 0x80  # si_code of a signal from the terminal
_FORWARDED = (*ENDING, signal.SIGUSR1, signal.SIGUSR2)
_TAKEN = (*_FORWARDED, signal.SIGCHLD)
_POLL_SECONDS = 0.1
_READERS_SECONDS = 10.0  # for what the command has left behind to close its files
_STOP_SECONDS = 5.0
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127  # as shells have them


class CommandError(FfrfsError):
    """The command of a job could not be started."""

    def __init__(self, command: str, error: OSError) -> None:
        super().__init__(f"{command} cannot be run: {error.strerror}")
        self.exit_code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE


def run_job(mounts: Sequence[PreparedMount], command: Sequence[str]) -> int:
    """Mount, run the command, unmount.

    Returns: the command's exit status; 128 + N if signal N ended it, or came while mounting.
    Raises: CommandError, and what mounting raises, with nothing left mounted.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
    supervisors: dict[int, PreparedMount] = {}
    try:
        for mount in mounts:
            number = _start(mount, supervisors)
            if number:
                return 128 + number
        return _run(command, supervisors)
    finally:
        _end(supervisors)
        _clean(mounts)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_shared_job(mounts: Sequence[SharedMount], command: Sequence[str]) -> int:
    """The same with mounts that other jobs on this node may have, too: the last one unmounts.

    Returns and raises: as `run_job`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
    try:
        for mount in mounts:
            number = mount.enter()
            if number:
                return 128 + number
        return _run(command, {})
    finally:
        for mount in reversed(mounts):
            mount.leave()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def go_on_in_private_namespace() -> int | None:
    """Go on in a child process whose mounts nobody else sees, and which the kernel unmounts with its last process.

    Returns: None in the child; in this process the child's exit status when it has ended, as `run_job`'s.
    Raises: MountError, in the child, if there can be no namespace.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
    job = os.getpid()
    pid = os.fork()  # numpy has threads, and a process that has them cannot enter a user namespace
    if pid:
        return _follow(pid, {})
    end_with_parent(job, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    enter_private_namespace()
    return None


def _start(mount: PreparedMount, supervisors: dict[int, PreparedMount]) -> int:
    """Start a supervisor and wait until the mount answers; returns the number of a signal that came first, or 0."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    job = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.setsid()  # out of reach of the terminal's signals: those are for the command
        end_with_parent(job, signal.SIGTERM)  # which waits, as all signals here, until there is somebody to take it
        _serve_guarded(mount, Awaited(writer))
    os.close(writer)
    supervisors[pid] = mount
    while not select.select([reader], [], [], _POLL_SECONDS)[0]:
        info = signal.sigtimedwait(ENDING, 0)
        if info is not None:
            os.close(reader)
            return info.si_signo
    daemon_pid(reader)
    return 0


def _serve_guarded(mount: PreparedMount, launch: Awaited) -> NoReturn:
    cleaner = Cleaner(mount.mountpoint)

    def serve(launch: Awaited) -> int:
        status = mount.serve(launch)
        cleaner.dismiss()
        return status

    serve_and_exit(serve, launch, mount.mountpoint)


def _run(command: Sequence[str], supervisors: dict[int, PreparedMount]) -> int:
    job = os.getpid()

    def begin() -> None:
        end_with_parent(job, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    try:
        process = subprocess.Popen(command, preexec_fn=begin)  # noqa: S603 - it is what the user asks for
    except OSError as error:
        raise CommandError(command[0], error) from None
    process.returncode = _follow(process.pid, supervisors)
    return process.returncode


def _follow(pid: int, supervisors: dict[int, PreparedMount]) -> int:
    """Pass signals on to a child until it ends; returns its exit status, or 128 + N if signal N ended it."""
    while True:
        info = signal.sigwaitinfo(_TAKEN)
        if info.si_signo == signal.SIGCHLD:
            for mount in _reap(supervisors):
                logger.error("the mount at %s has ended before the command", mount.mountpoint)
            ended, wait_status = os.waitpid(pid, os.WNOHANG)
            if ended:
                status = os.waitstatus_to_exitcode(wait_status)
                return status if status >= 0 else 128 - status
        elif info.si_code != _SI_KERNEL:  # what the terminal sends, it sends to the whole process group
            os.kill(pid, info.si_signo)


def _end(supervisors: dict[int, PreparedMount]) -> None:
    """Stop the supervisors: let readers finish, then not, then by force."""
    steps = ((signal.SIGTERM, _READERS_SECONDS), (signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, _STOP_SECONDS))
    for number, seconds in steps:
        for pid in supervisors:
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while supervisors and time.monotonic() < deadline:
            info = signal.sigtimedwait(_TAKEN, max(deadline - time.monotonic(), 0))
            _reap(supervisors)
            if info is not None and info.si_signo in ENDING:
                break  # somebody is in a hurry


def _clean(mounts: Sequence[PreparedMount]) -> None:
    for mount in reversed(mounts):
        try:
            clean_stale(mount.mountpoint)
        except FfrfsError as error:
            logger.error("%s", error)


def _reap(supervisors: dict[int, PreparedMount]) -> list[PreparedMount]:
    """Forget the supervisors that have ended; returns their mounts."""
    ended = [pid for pid in supervisors if os.waitpid(pid, os.WNOHANG)[0]]
    return [supervisors.pop(pid) for pid in ended]
