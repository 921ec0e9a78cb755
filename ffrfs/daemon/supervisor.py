"""The process that keeps a mount alive: it starts workers anew and ends them all; the only request that it answers is
one that has killed several processes.

It lets trio wait for signals and the watchdog. Processes are forked only between two runs of trio, and the supervisor
never has a second thread, so a fork is always safe.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import logging
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator

import trio

from ffrfs.daemon.hangs import Hangs
from ffrfs.daemon.notify import notify, watchdog_seconds
from ffrfs.daemon.revival import Revival
from ffrfs.daemon.session import Session
from ffrfs.daemon.stacks import StackPipe, task_tree
from ffrfs.daemon.succession import Succession
from ffrfs.daemon.takeover import Successor, kept_nowhere
from ffrfs.daemon.unused import Unused
from ffrfs.daemon.worker import SESSION_ENDED
from ffrfs.errors import MountError
from ffrfs.mount.log import reopen_log
from ffrfs.mount.mountpoint import is_mounted, unmount_made

__all__ = ["Supervisor"]

logger = logging.getLogger(__name__)

_ALONE = -1  # in place of the number of a role: a process for one request
_TRIAL = -2  # a process that finds out whether the program that is installed now could take over
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
_QUICK_RESTARTS = 20  # within ten seconds; then something is wrong, and workers are started more slowly
_SLOW_RESTART_SECONDS = 0.25  # twice, when one of several that were killed is seen before the others
_STOP_SECONDS = 2.0  # for processes to end when asked; then they are killed
_RESEND_LATER_SECONDS = 1.0
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)  # of this process, and of the machine
_UNMOUNT_AGAIN_SECONDS = 0.5
_SHORTAGE_SECONDS = 0.5
_KILL_SECONDS = 5.0  # for killed processes to end; then they wait in the kernel for storage


class Supervisor:
    """Keeps the processes of one mount.

    Args: session; roles, one function for each process to keep, the workers first, which runs in the child and returns
    its exit status; on_hangup, called for SIGHUP; revival, what is done for what a dead worker had in hand, or None
    where the kernel does not send it again; successor, the program that takes over at SIGUSR2, or None; is_successor,
    whether the mount was taken over from another daemon. Attributes: unused, which says whether the mount is to end
    when nobody uses it; hangs, which replaces who is stuck; count, called with the name of a counter.
    """

    def __init__(
        self,
        session: Session,
        roles: list[Callable[[], int]],
        on_hangup: Callable[[], None],
        revival: Revival | None,
        successor: Successor | None = None,
        is_successor: bool = False,
    ) -> None:
        self._mount, self._session_fd, self._roles = session.mount, session.fd, roles
        self._revival, self._adopted = revival, session.adopted
        # What the earlier daemon had in hand is sent again, and once more for what a worker took while it was dying.
        self._worker_died = self._resend_later = is_successor and revival is not None
        self._suspect_ended = False
        self._succession = Succession(successor)
        self._on_hangup = on_hangup
        self._processes: dict[int, int] = {}  # pid -> number of its role
        self._restarts: deque[float] = deque(maxlen=_QUICK_RESTARTS)
        self._unmounting = self._retrying = self._ended = False
        self._failed = False
        self._stacks = StackPipe()
        self.unused: Unused | None = None
        self.hangs: Hangs | None = None
        self.count: Callable[[str], None] = lambda name: None

    def start(self) -> None:
        """Start all processes. From here on signals wait until `run` takes them."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        gc.collect()
        gc.freeze()  # keeps the collector from writing to pages that the workers share
        self._start_missing()
        self._revive()

    def run(self) -> int:
        """Serve until unmounted or told to stop; returns the exit status."""
        watchdog = watchdog_seconds()
        while not self._ended:
            if self._succession.is_due:
                self._succeed()
            self._start_missing()
            self._revive()
            if self._succession.is_wanted:
                self._start(self._succession.trial(), _TRIAL)
            try:
                trio.run(self._watch, watchdog)
            except OSError as error:
                if error.errno not in _NO_DESCRIPTORS:
                    raise
                logger.error("supervisor of %s: %s; trying again", self._mount.mountpoint, error)
                time.sleep(_SHORTAGE_SECONDS)
        notify("STOPPING=1", "STATUS=unmounted")
        kept_nowhere()
        self._stop_processes()
        return 1 if self._failed else 0

    async def _watch(self, watchdog: float | None) -> None:
        """Take signals until processes are missing or the mount has ended."""
        self._retrying = False
        with trio.open_signal_receiver(*_SIGNALS) as signals, _unblocked():
            async with trio.open_nursery() as nursery:
                if watchdog is not None:
                    nursery.start_soon(self._feed_watchdog, watchdog / 2)
                suspects = self._revival.suspects.socket() if self._revival is not None else None
                if suspects is not None:
                    nursery.start_soon(self._wait_for_suspect, suspects, nursery.cancel_scope)
                if self.unused is not None and self.unused.seconds:
                    nursery.start_soon(self._end_unused, self.unused)
                if self.hangs is not None:
                    nursery.start_soon(self.hangs.watch, self._processes)
                if self._resend_later:
                    nursery.start_soon(self._resend_once_more)
                self._reap()
                while not self._must_act():
                    await self._handle(await anext(aiter(signals)))
                    if self._unmounting and not self._retrying:
                        self._retrying = True
                        nursery.start_soon(self._keep_unmounting)
                nursery.cancel_scope.cancel()

    async def _wait_for_suspect(self, suspects: socket.socket, scope: trio.CancelScope) -> None:
        await trio.lowlevel.wait_readable(suspects)
        scope.cancel()

    async def _feed_watchdog(self, seconds: float) -> None:
        while True:
            notify("WATCHDOG=1")
            await trio.sleep(seconds)

    async def _handle(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGHUP:
            reopen_log()
            self._on_hangup()
        elif number == signal.SIGUSR1:
            await self._log_state()
        elif number == signal.SIGUSR2:
            self._succession.ask(_TRIAL in self._processes.values(), self._unmounting)
        else:
            self._begin_unmount(signal.Signals(number).name)

    def _begin_unmount(self, why: str) -> None:
        if self._unmounting and is_mounted(self._mount):
            return  # it is tried again and again: to end now would leave a dead mount below what is over it
        if self._unmounting:
            logger.warning("%s again: not waiting for open files any longer", why)
            self._ended = True
            return
        if self._adopted:
            logger.info("%s: ending; who has mounted is to unmount", why)
            self._ended = True
            return
        self._unmounting = True
        notify("STOPPING=1", "STATUS=unmounting, open files may be read to their end")
        logger.info("%s: unmounting %s; open files may be read to their end", why, self._mount.mountpoint)
        try:
            unmount_made(self._mount)
        except MountError as error:
            logger.error("%s; trying again until it can be", error)
        # The workers end when the last open file is closed: the kernel then ends the connection.

    async def _keep_unmounting(self) -> None:
        while is_mounted(self._mount):
            await trio.sleep(_UNMOUNT_AGAIN_SECONDS)
            with contextlib.suppress(MountError):
                unmount_made(self._mount)

    async def _end_unused(self, unused: Unused) -> None:
        while not self._unmounting:
            await trio.sleep(unused.seconds)
            if not self._unmounting and unused.unmount():
                self._unmounting = True
                notify("STOPPING=1", "STATUS=unmounting, nobody uses it")
                logger.info("%s was not used: it is unmounted", self._mount.mountpoint)

    async def _log_state(self) -> None:
        _log_lines(f"supervisor of {self._mount.mountpoint}: trio tasks", task_tree())
        _log_lines(f"supervisor {os.getpid()}: stacks", await self._stacks.own())
        for pid, number in self._processes.items():
            _log_lines(f"process {pid} (role {number}): stacks", await self._stacks.ask(pid))

    def _missing(self) -> list[int]:
        running = set(self._processes.values())
        return [number for number in range(len(self._roles)) if number not in running]

    def _start_missing(self) -> None:
        if len(self._restarts) == _QUICK_RESTARTS and time.monotonic() - self._restarts[0] < 10:
            time.sleep(_SLOW_RESTART_SECONDS)
        for number in self._missing():
            self._start(self._roles[number], number)

    def _start(self, role: Callable[[], int], number: int) -> int:
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(role, supervisor)
        self._processes[pid] = number
        return pid

    def _must_act(self) -> bool:
        revive = self._worker_died or self._suspect_ended
        return bool(self._ended or self._missing() or revive or self._succession.is_due or self._succession.is_wanted)

    async def _resend_once_more(self) -> None:
        await trio.sleep(_RESEND_LATER_SECONDS)
        self._resend_later = False
        if self._revival is not None:
            self._revival.resend()

    def _succeed(self) -> None:
        """Have the other program take the place of this one: what is in hand is sent again there."""
        self._end_processes(signal.SIGKILL, _STOP_SECONDS)
        self._succession.succeed()
        if self._revival is not None:  # it could not
            for worker in range(self._revival.workers):
                self._revival.suspects.worker_died(worker)
            self._worker_died = True

    def _revive(self) -> None:
        """Have the requests of dead workers sent again, and start a process for each that is suspect."""
        if self._revival is None or self._ended:
            return
        if self._worker_died:
            self._worker_died = False
            self._revival.resend()
        self._suspect_ended = False
        for suspect in self._revival.suspects.to_try():
            pid = self._start(functools.partial(self._revival.alone, suspect.request), _ALONE)
            self._revival.suspects.started(pid, suspect)

    def _become(self, role: Callable[[], int], supervisor: int) -> None:
        status = 3
        self._stacks.register()
        try:
            status = role()
        except OSError as error:
            logger.error("process %d of supervisor %d ended: %s", os.getpid(), supervisor, error)
        except BaseException:
            logger.exception("process %d of supervisor %d ended", os.getpid(), supervisor)
        finally:
            logging.shutdown()
            os._exit(status)

    def _reap(self) -> None:
        """Note the processes that have ended, and whether the mount has with them."""
        for pid, status in _ended_children():
            number = self._processes.pop(pid, None)
            if number is None:
                continue
            if number == _TRIAL:
                self._succession.tried(status)
                continue
            if status == SESSION_ENDED or self._connection_ended():
                self._session_ended()
            elif self._revival is not None and self._revival.suspects.ended(pid, status):
                self._suspect_ended = True
            else:
                if self._revival is not None and number < self._revival.workers:
                    self._revival.suspects.worker_died(number)
                    self._worker_died = True
                self._restarts.append(time.monotonic())
                self.count("restarts")
                logger.warning("process %d ended with status %d; starting another", pid, status)

    def _session_ended(self) -> None:
        if self._ended:
            return
        self._ended = True
        if is_mounted(self._mount) and not self._unmounting:
            self._failed = True
            logger.error(
                "the connection of %s was aborted; the dead mount stays until it is unmounted", self._mount.mountpoint
            )
        else:
            logger.info("%s is unmounted", self._mount.mountpoint)

    def _connection_ended(self) -> bool:
        poll = select.poll()
        poll.register(self._session_fd, 0)
        return bool(poll.poll(0))  # POLLERR needs not be asked for

    def _stop_processes(self) -> None:
        """End all processes. One that waits for storage which hangs cannot be ended by anybody: it is left behind."""
        self._end_processes(signal.SIGTERM, _STOP_SECONDS)
        self._end_processes(signal.SIGKILL, _KILL_SECONDS)
        if self._processes:
            self._failed = True
            logger.error("left behind, as each waits for storage that hangs: processes %s", [*self._processes])

    def _end_processes(self, number: signal.Signals, seconds: float) -> None:
        """Send all processes a signal until they have ended, or that long."""
        deadline = time.monotonic() + seconds
        while self._processes and time.monotonic() < deadline:
            for pid in self._processes:
                os.kill(pid, number)
            signal.sigtimedwait({signal.SIGCHLD}, 0.05)
            for pid, _ in _ended_children():
                self._processes.pop(pid, None)


def _log_lines(title: str, lines: str) -> None:
    logger.info("%s", title, extra={"lines": lines})


def _ended_children() -> Iterator[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


@contextlib.contextmanager
def _unblocked() -> Iterator[None]:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
