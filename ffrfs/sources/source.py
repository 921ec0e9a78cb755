"""What every source of bytes can do. Imports nothing but errors; any thread, and any forked child, may call it."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Access", "Source"]


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach object storage, where the environment does not say it: the endpoint's URL, the region, the profile
    of ~/.aws. Nothing secret."""

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None


class Source(ABC):
    """One file of an archive, wherever it is, open for positioned reads.

    Attributes: name, as messages show it, without secrets; place, the full address, without secrets; size_bytes;
    mtime_ns; tag_ns, what tells one version from another beside the size: the mtime, or a number made of the ETag;
    mode, the permission bits; descriptor, of a local file, else -1; is_cached, whether
    a cache on this node keeps what is read; identity, a text that no two versions at a place
    share. Pickles as what it was opened by.
    """

    name: str
    size_bytes: int
    mtime_ns: int
    tag_ns: int
    place: str
    identity: str
    mode: int = 0o400
    descriptor: int = -1
    is_cached: bool = False

    @abstractmethod
    def read_into(self, offset_bytes: int, buffer: WriteableBuffer) -> None:
        """Fill a buffer. Raises: TruncatedError, ChangedError if it is another version by now; OSError."""

    def read_near(self, offset_bytes: int, buffers: Sequence[WriteableBuffer]) -> int:
        """Read what is in memory into buffers, one after the other, without waiting; returns how many bytes.

        Raises: BlockingIOError if it is not there; OSError if that cannot be told.
        """
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def peek_into(self, offset_bytes: int, buffer: WriteableBuffer, likely_bytes: int) -> None:
        """As `read_into`, where up to `likely_bytes` from there will probably be read next."""
        self.read_into(offset_bytes, buffer)

    def distrust(self, offset_bytes: int, length_bytes: int) -> bool:
        """Drop what a cache holds of these bytes, which were found wrong; returns whether reading again may help."""
        return False

    def warm(self, offset_bytes: int, length_bytes: int) -> int:
        """Have these bytes in a cache, if there is one; returns how many were fetched. Raises as `read_into`."""
        return 0

    def version(self) -> tuple[int, ...]:
        """The version that is there now, as far as is known without waiting."""
        return (0,)

    def is_replaced(self) -> bool:
        """Whether the name is that of another file by now. Raises: OSError."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Give up what is held; nothing the second time."""
