"""What the processes of a mount are doing, for SIGUSR1: the stacks of all their threads, and trio's tasks.

A process writes its stacks from the signal handler in C of `faulthandler`, so also while it waits in the kernel or
holds the GIL. It writes to a pipe that the supervisor reads, one process after the other: the lines then go through
the log, wherever that is by now, and are not mixed.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator

import trio

__all__ = ["StackPipe", "task_tree"]

_FIRST_SECONDS = 0.5  # for a process to begin
_QUIET_SECONDS = 0.05  # after which it has written everything


class StackPipe:
    """Made in the supervisor before it forks; `register` in each child, `ask` in the supervisor."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def register(self) -> None:
        """Have this process write its stacks at SIGUSR1."""
        faulthandler.register(signal.SIGUSR1, file=self._writer, all_threads=True)

    async def ask(self, pid: int) -> str:
        """The stacks of a child, or what to think of it if it writes none."""
        os.kill(pid, signal.SIGUSR1)
        stacks = await self._received(_FIRST_SECONDS)
        return stacks or "it writes no stacks: it waits in the kernel where no signal reaches it"

    async def own(self) -> str:
        """The stacks of this process."""
        faulthandler.dump_traceback(self._writer, all_threads=True)
        return await self._received(0)

    async def _received(self, seconds: float) -> str:
        received = b""
        while True:
            with trio.move_on_after(_QUIET_SECONDS if received else seconds):
                await trio.lowlevel.wait_readable(self._reader)
            try:
                received += os.read(self._reader, 1 << 16)
            except BlockingIOError:  # it is quiet
                return received.decode("utf-8", "backslashreplace")


def task_tree() -> str:
    """The tasks of the trio that is running, each below the one that waits for it, with where it is."""
    root = trio.lowlevel.current_root_task()
    return "\n".join(_lines(root, 0)) if root is not None else ""


def _lines(task: trio.lowlevel.Task, depth: int) -> Iterator[str]:
    where = [f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{line})" for frame, line in task.iter_await_frames()]
    yield "  " * depth + task.name + "".join(f" > {place}" for place in where)
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _lines(child, depth + 1)
