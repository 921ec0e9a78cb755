"""How far a long piece of work has come."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Progress", "Tally"]

# Called with files done, bytes done, files in all, bytes in all; by any thread, one at a time.
Progress = Callable[[int, int, int, int], None]


class Tally:
    """Counts what several threads have done and reports it.

    Args: progress, the callback, or None; files_total, bytes_total, the work to do.
    """

    def __init__(self, progress: Progress | None, files_total: int, bytes_total: int) -> None:
        self.files_total, self.bytes_total = files_total, bytes_total
        self._progress = progress
        self._files = self._bytes = 0
        self._lock = threading.Lock()
        self.add(0, 0)

    def add(self, files: int, size_bytes: int) -> None:
        """Count files and bytes that are done."""
        with self._lock:
            self._files += files
            self._bytes += size_bytes
            if self._progress is not None:
                self._progress(self._files, self._bytes, self.files_total, self.bytes_total)
