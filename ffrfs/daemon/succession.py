"""How a supervisor hands its mount on to the program that is installed now: first a trial, then in its place."""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable

from ffrfs.daemon.notify import notify
from ffrfs.daemon.takeover import Successor
from ffrfs.daemon.worker import begin_process

__all__ = ["Succession"]

logger = logging.getLogger(__name__)


class Succession:
    """Args: successor, or None where no program can take over. Attributes: is_wanted, whether a trial is to be started;
    is_due, whether one has gone well."""

    def __init__(self, successor: Successor | None) -> None:
        self._successor = successor
        self.is_wanted = self.is_due = False

    def ask(self, is_trying: bool, is_ending: bool) -> None:
        """Somebody wants the other program. Args: is_trying, whether there is a trial; is_ending, whether it is too
        late."""
        if self._successor is None:
            logger.warning("SIGUSR2: only a mount in the foreground can be handed on to another program")
        elif not is_ending and not is_trying:
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            self.is_wanted = True

    def trial(self) -> Callable[[], int]:
        """What a process does that tries the program; its exit status says whether that could take over."""
        self.is_wanted = False
        return functools.partial(_try, self._successor, os.getpid())

    def tried(self, status: int) -> None:
        """The trial has ended."""
        if status == 0:
            self.is_due = True
        else:
            logger.error(
                "the program that is installed now cannot take over (exit status %d): this one goes on", status
            )
            notify("READY=1")

    def succeed(self) -> None:
        """Become the other program; returns if that failed."""
        self.is_due = False
        logger.info("the program that is installed now takes over")
        try:
            if self._successor is not None:
                self._successor.replace()
        except OSError as error:
            logger.error("the program that is installed now cannot be run (%s): this one goes on", error)
            notify("READY=1")


def _try(successor: Successor | None, supervisor: int) -> int:
    begin_process(supervisor)
    return successor.trial() if successor is not None else 1
