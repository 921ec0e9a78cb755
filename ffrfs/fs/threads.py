"""Threads for what waits for storage: a bounded number, started as they are needed, each job's errors its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

__all__ = ["Threads"]

logger = logging.getLogger(__name__)


class Threads:
    """Args: limit, how many threads there may be; name, what a stack trace calls them."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit, self._name = limit, name
        self._jobs: SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0
        self._starting = threading.Lock()

    def submit(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a thread call the function, after what was submitted before has begun."""
        self._jobs.put((function, arguments))
        with self._starting:
            if not self._idle.acquire(blocking=False) and self._started < self._limit:
                self._started += 1
                threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while True:
            function, arguments = self._jobs.get()
            try:
                function(*arguments)
            except Exception:
                logger.exception("unexpected error in a thread of %s", self._name)
            del function, arguments  # they may hold much memory
            if self._jobs.empty():
                self._idle.release()
