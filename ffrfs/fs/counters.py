"""What a mount counts. Each counter is defined here once, by its name: the shared memory's layout, the JSON and
Prometheus texts and the tables follow from this list."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["COUNTERS", "HISTOGRAM", "HISTOGRAM_BUCKETS", "NAMES", "Counter", "Kind", "position"]

HISTOGRAM_BUCKETS = 28  # bucket b counts READs answered in less than 2**b µs


class Kind(enum.Enum):
    """How a counter is shown in a table."""

    COUNT = "count"
    BYTES = "bytes"
    TROUBLE = "trouble"  # only where it is not zero
    HIDDEN = "hidden"


@dataclass(frozen=True)
class Counter:
    """One counter. Attributes: title, in tables; share_of, the counter that it is a part of."""

    name: str
    title: str
    kind: Kind = Kind.COUNT
    share_of: str | None = None


COUNTERS = (
    Counter("lookups", "lookups"),
    Counter("negative_lookups", "of names that do not exist", share_of="lookups"),
    Counter("reads", "reads that reached ffrfs"),
    Counter("reads_waited", "that waited for storage", share_of="reads"),
    Counter("readdir_entries", "names listed"),
    Counter("folders_listed", "folders listed ahead"),
    Counter("hints", "files announced by hints"),
    Counter("prefetched", "files read ahead"),
    Counter("prefetch_markers", "left for a read to tell of"),
    Counter("prefetch_hits", "and read", share_of="prefetch_markers"),
    Counter("read_bytes", "bytes read", Kind.BYTES),
    Counter("prefetched_bytes", "bytes read ahead", Kind.BYTES),
    Counter("slow_reads", "reads of over one second", Kind.TROUBLE),
    Counter("checksum_failures", "damaged records", Kind.TROUBLE),
    Counter("io_errors", "storage errors", Kind.TROUBLE),
    Counter("internal_errors", "internal errors", Kind.TROUBLE),
    Counter("poisoned_requests", "requests that killed workers", Kind.TROUBLE),
    Counter("restarts", "processes started again", Kind.TROUBLE),
    Counter("replaced_processes", "stopped or hanging processes replaced", Kind.TROUBLE),
    Counter("getattrs", "attributes asked for", Kind.HIDDEN),
    Counter("forgets", "inodes forgotten by the kernel", Kind.HIDDEN),
    Counter("readdirs", "listing requests", Kind.HIDDEN),
    Counter("statfs", "statfs requests", Kind.HIDDEN),
    Counter("read_us", "microseconds of all reads", Kind.HIDDEN),
    Counter("prefetch_windows", "windows of runs", Kind.HIDDEN),
    Counter("hints_dropped", "announced files that were forgotten", Kind.HIDDEN),
    Counter("worker_starts", "starts of workers", Kind.HIDDEN),
    Counter("resends", "times that requests were sent again", Kind.HIDDEN),
)
HISTOGRAM = tuple(f"read_us_{bucket}" for bucket in range(HISTOGRAM_BUCKETS))
NAMES = (*(counter.name for counter in COUNTERS), *HISTOGRAM)


def position(name: str) -> int:
    """Where the counter is in a row of the shared memory. Raises: ValueError."""
    return NAMES.index(name)
