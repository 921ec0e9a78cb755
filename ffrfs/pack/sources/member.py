"""What the readers of other archives have in common: a source yields its members, and reads each of them again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ffrfs.errors import ConfigError, PackError
from ffrfs.pack.scan import Symlinks

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "DIRECTORY",
    "PART_BYTES",
    "Member",
    "Source",
    "Symlinks",
    "failures_named",
    "file_parts",
    "missing_package",
    "symlink_error",
]

DIRECTORY = -1  # as a member's size
PART_BYTES = 1 << 20


class Member(NamedTuple):
    """A file or directory in a source.

    name: its path as the source has it, None if it has none and is to be numbered; size_bytes, `DIRECTORY` for a
    directory; place, where the source finds it again; folder, where a numbered file belongs, empty or with a slash.
    """

    name: bytes | None
    size_bytes: int
    place: Any = None
    folder: bytes = b""


class Source(Protocol):
    """An archive of another kind, open for reading.

    Attributes: path; ordered, whether members can only be read in their order, by one thread.
    """

    path: str
    ordered: bool

    def members(self) -> Iterator[Member]:
        """All members in the order of the source. Raises: PackError for one that cannot be a file, naming it."""
        ...

    def read(self, member: Member) -> Iterator[ReadableBuffer]:
        """The contents of a file in parts, each valid until the next one. Raises: PackError."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


@contextmanager
def failures_named(path: str, *failures: type[Exception]) -> Iterator[None]:
    """Turn a reader's own exceptions into a PackError that names the source."""
    try:
        yield
    except failures as error:
        raise PackError(path, f"it cannot be read: {' '.join(str(error).split())}") from error


def file_parts(fd: int, path: str, offset_bytes: int, size_bytes: int) -> Iterator[bytes]:
    """The bytes of a file from an offset on. Raises: PackError if the file ends before."""
    done = 0
    while done < size_bytes:
        part = os.pread(fd, min(PART_BYTES, size_bytes - done), offset_bytes + done)
        if not part:
            raise PackError(path, f"it ends at byte {offset_bytes + done}, in the middle of a file")
        done += len(part)
        yield part


def missing_package(path: str, error: ImportError) -> ConfigError:
    """The error for a source whose reader is not installed."""
    return ConfigError(f"packing {path} needs the package {error.name}: pip install 'ffrfs[convert]'")


def symlink_error(path: str, name: str) -> PackError:
    """The error for a symlink in a source."""
    return PackError(path, f"{name} is a symlink, which an archive cannot hold; pack with symlinks skipped")
