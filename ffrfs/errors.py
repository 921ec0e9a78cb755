"""The exceptions of ffrfs, as a tree.

    FfrfsError
    ├── ArchiveError(path)              EIO through a mount; CLI exit 4
    │   ├── FormatError(offset)         not an archive, or its metadata is wrong or hostile
    │   ├── TruncatedError(offset)      the file ends before what its header promises
    │   ├── ChecksumError(record, expected, actual)
    │   └── ChangedError                ESTALE through a mount: no longer the archive that was opened
    ├── PackError(path)                 a tree that cannot be packed, an archive that is not what was promised
    ├── RecordIndexError                also an IndexError
    ├── ReadOnlyError                   also an OSError with EROFS
    ├── MountError                      CLI exit 3
    └── ConfigError                     CLI exit 2

A missing path is `FileNotFoundError`, a path through a file `NotADirectoryError`, a directory read as a file
`IsADirectoryError`: the built-in ones, always with errno and path, because callers already catch those.
Every one survives pickling, since DataLoader workers send their exceptions to another process.
"""

from __future__ import annotations

import errno
import os
from typing import Any

__all__ = [
    "ArchiveError",
    "ChangedError",
    "ChecksumError",
    "ConfigError",
    "FfrfsError",
    "FormatError",
    "MountError",
    "PackError",
    "ReadOnlyError",
    "RecordIndexError",
    "TruncatedError",
    "printable",
]


def printable(text: str | bytes) -> str:
    """A name or message as one line: what is not UTF-8 and what would not show, or would move the cursor, as escapes.

    Names come from strangers; one with a newline or a terminal's control sequence could forge messages.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # one byte, by surrogateescape
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


class FfrfsError(Exception):
    """Base of all errors that ffrfs raises on purpose; its text is one sentence for the user."""

    exit_code = 1


class ArchiveError(FfrfsError):
    """Something is wrong with the archive file `path` itself.

    Args: path, the archive or shard; problem, a sentence without the path.
    """

    exit_code = 4

    def __init__(self, path: str | os.PathLike[str], problem: str, **facts: Any) -> None:
        self.path = os.fspath(path)
        self.problem = problem
        self.facts = facts
        super().__init__(printable(f"{self.path}: {problem}"))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.path, self.problem, self.facts)


class FormatError(ArchiveError):
    """Not an archive, or its metadata is wrong or hostile; `offset` is the byte of the file where it shows."""

    def __init__(self, path: str | os.PathLike[str], problem: str, *, offset: int = 0) -> None:
        self.offset = offset
        super().__init__(path, problem, offset=offset)


class TruncatedError(ArchiveError):
    """The file ends at or before `offset`, where its own header promises more."""

    def __init__(self, path: str | os.PathLike[str], problem: str, *, offset: int = 0) -> None:
        self.offset = offset
        super().__init__(path, problem, offset=offset)


class ChecksumError(ArchiveError):
    """The bytes of `record` do not have the CRC32 that the archive's header gives for them."""

    def __init__(self, path: str | os.PathLike[str], problem: str, *, record: int, expected: int, actual: int) -> None:
        self.record, self.expected, self.actual = record, expected, actual
        super().__init__(path, problem, record=record, expected=expected, actual=actual)


class ChangedError(ArchiveError):
    """The archive is no longer the one that was opened."""


def _rebuild(kind: type[ArchiveError], path: str, problem: str, facts: dict[str, Any]) -> ArchiveError:
    return kind(path, problem, **facts)


class PackError(FfrfsError):
    """`path` cannot be packed, or cannot be written as promised.

    Args: path, the file, folder or archive in question; problem, a sentence without the path.
    """

    def __init__(self, path: str | bytes | os.PathLike[str], problem: str) -> None:
        self.path = os.fsdecode(path)
        self.problem = problem
        super().__init__(printable(f"{self.path}: {problem}"))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.problem)


class RecordIndexError(FfrfsError, IndexError):
    """A record number outside the archive."""


class ReadOnlyError(FfrfsError, OSError):
    """An attempt to write to an archive that is served read-only; errno is EROFS."""

    def __init__(self, what: str) -> None:
        OSError.__init__(self, errno.EROFS, what)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[1],)


class MountError(FfrfsError):
    """A mount cannot be made, found or ended; the text says why and what to do."""

    exit_code = 3


class ConfigError(FfrfsError):
    """A command line, option or configuration file that does not make sense."""

    exit_code = 2
