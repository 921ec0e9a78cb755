"""How the tree of a mount looks. A value; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TreeOptions"]


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """Args: uid, gid, owner of everything; umask, taken from modes 0555 and 0444; mtime_ns, the time of everything, in
    nanoseconds."""

    uid: int
    gid: int
    umask: int
    mtime_ns: int
