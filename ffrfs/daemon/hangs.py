"""Requests that nobody would ever answer: processes that are stopped or hang are replaced, and a connection of which
nobody has the requests is aborted.

A look costs a few system calls, and an idle mount nothing else. Looks are counted, not seconds: after the whole mount
was stopped and goes on, by a batch system for one, nobody is taken for hanging. To wait for storage is no hanging: it
is done in other threads than the one that receives, or in the kernel, for a page of the index.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import trio

from ffrfs.daemon.revival import Revival
from ffrfs.linux.fusectl import Waiting
from ffrfs.linux.processes import ThreadState, main_thread

__all__ = ["Hangs"]

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 2.5
_STUCK_LOOKS = 3  # in a row: more than five seconds
_LOST_LOOKS = 24  # a minute
_LOOP_SECONDS = 4.0  # of CPU time: else the machine has too much to do
# Where the kernel lets a thread sleep that waits for another one, a clock or somebody who listens. Storage has names of
# its own for it, one for each file system.
_NOT_STORAGE = ("futex", "hrtimer_nanosleep", "do_sys_poll", "poll_", "do_select", "pipe_", "anon_pipe", "unix_")


@dataclass
class _Sign:
    """That a process may be stuck. Attributes: of, what must stay the same: a request, or 0 for one that is stopped;
    cpu_seconds, that it had used then; looks, how often it was seen."""

    of: int
    cpu_seconds: float
    looks: int = 0


class Hangs:
    """Args: revival, or None where the kernel does not send requests again: it is not known then who has which;
    waiting, how many there are; activity, a number that grows with each request; count, called with the name of a
    counter."""

    def __init__(
        self, revival: Revival | None, waiting: Waiting, activity: Callable[[], int], count: Callable[[str], None]
    ) -> None:
        self._revival, self._waiting, self._activity, self._count = revival, waiting, activity, count
        self._signs: dict[int, _Sign] = {}  # by process id
        self._stopped: set[int] = set()
        self._seen, self._lost_looks = -1, 0
        self._next = 0.0

    async def watch(self, processes: Mapping[int, int]) -> None:
        """Look again and again. Args: processes, the number of its role by process id, the workers' first."""
        while True:
            await trio.sleep(self._next - time.monotonic() if self._next else _LOOK_SECONDS)
            self._next = time.monotonic() + _LOOK_SECONDS
            self.look(processes)

    def look(self, processes: Mapping[int, int]) -> None:
        """Replace who is stuck by ending it; who does so once more is looked at anew."""
        self._stopped.update(_newly_stopped())
        self._stopped.intersection_update(processes)
        for pid in self._signs.keys() - processes.keys():
            del self._signs[pid]
        for pid, number in processes.items():
            request = self._received(number)
            if request or pid in self._stopped:
                self._examine(pid, request)
            else:
                self._signs.pop(pid, None)
        self._look_for_lost(processes)

    def _received(self, number: int) -> int:
        """The request that a worker's receiving thread has just now, or 0."""
        if self._revival is None or not 0 <= number < self._revival.workers:
            return 0
        return self._revival.hands.received(number)

    def _examine(self, pid: int, request: int) -> None:
        thread = main_thread(pid)
        if thread is None:  # it has ended
            return
        stopped = thread.state == "T"
        if not stopped:
            self._stopped.discard(pid)
        if not stopped and not (request and _may_hang(thread)):
            self._signs.pop(pid, None)
            return
        of = 0 if stopped else request
        sign = self._signs.get(pid)
        if sign is None or sign.of != of:
            sign = self._signs[pid] = _Sign(of, thread.cpu_seconds)
        sign.looks += 1
        loops = thread.state != "R" or thread.cpu_seconds - sign.cpu_seconds >= _LOOP_SECONDS
        if sign.looks >= _STUCK_LOOKS and (stopped or loops):
            del self._signs[pid]
            logger.warning("process %d %s: replacing it", pid, "is stopped" if stopped else "hangs in a request")
            self._count("replaced_processes")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _look_for_lost(self, processes: Mapping[int, int]) -> None:
        """Requests that wait while no process has any, and nothing goes on."""
        revival = self._revival
        if revival is None:
            return
        held = revival.hands.any_held() or any(number < 0 for number in processes.values())  # those alone
        if held or not self._waiting.number():
            self._lost_looks = 0
            return
        seen = self._activity()
        # What was sent again is counted, too: from then on only an answer is progress.
        goes_on = seen != self._seen and self._lost_looks < _LOST_LOOKS // 2
        self._lost_looks = 0 if goes_on else self._lost_looks + 1
        self._seen = seen
        if self._lost_looks == _LOST_LOOKS // 2:
            revival.resend()
        elif self._lost_looks == _LOST_LOOKS:
            logger.error("requests have waited for a minute, and no process has them: aborting the connection")
            revival.abort()


def _may_hang(thread: ThreadState) -> bool:
    """Whether it runs, or sleeps for something else than storage."""
    return thread.state == "R" or (thread.state == "S" and thread.waits_in.startswith(_NOT_STORAGE))


def _newly_stopped() -> Iterator[int]:
    """Children that were stopped since the last call."""
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WNOHANG)) is not None:
            yield child.si_pid
