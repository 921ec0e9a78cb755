"""Counting the requests that the kernel sends to a FUSE daemon, by its own trace events. Needs root."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

TRACEFS = Path("/sys/kernel/tracing")
BUFFER_KIB = 1 << 16
EVENT = re.compile(r"-(\d+) +\[.*opcode \d+ \(FUSE_(\w+)\)")  # of which process, and what
NOT_WAITED_FOR = {"RELEASE", "RELEASEDIR", "FORGET", "BATCH_FORGET", "INTERRUPT"}


@contextmanager
def fuse_requests(root: Path, pids: Collection[int]) -> Iterator[Counter[str]]:
    """Count the requests that these processes make to the file system mounted at `root`, by name.

    The counter is filled at the end of the block.
    Raises: PermissionError, FileNotFoundError where the kernel has no trace events to offer.
    """
    if not (TRACEFS / "instances").exists():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACEFS], check=False, capture_output=True)
    trace = TRACEFS / "instances" / f"ffrfs-bench-{os.getpid()}"
    trace.mkdir()
    counts: Counter[str] = Counter()
    try:
        event = trace / "events/fuse/fuse_request_send"
        (trace / "buffer_size_kb").write_text(str(BUFFER_KIB))
        (event / "filter").write_text(f"connection == {os.minor(os.stat(root).st_dev)}")
        (event / "enable").write_text("1")
        yield counts
        (event / "enable").write_text("0")
        with (trace / "trace").open() as lines:
            events = filter(None, map(EVENT.search, lines))
            counts.update(event[2] for event in events if int(event[1]) in pids)
    finally:
        trace.rmdir()
