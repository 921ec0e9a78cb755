"""Errors that are what ffrfs raises and what HFAiLab/ffrecord raises in the same place.

At the top of a module, since loaders' workers pickle them. Source of the kinds: HFAiLab/ffrecord fileio.py, package.py,
and FFRECORD_ASSERT in its C++ code, which raises RuntimeError.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from ffrfs import errors

__all__ = ["as_reference"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class FormatError(errors.FormatError, RuntimeError, ValueError):
    """A header that is wrong, or an archive that is no packed folder."""


class TruncatedError(errors.TruncatedError, RuntimeError):
    """A file that ends too early."""


class ChecksumError(errors.ChecksumError, RuntimeError):
    """A damaged record."""


class RecordIndexError(errors.RecordIndexError, RuntimeError):
    """A record number outside the archive."""


class PackError(errors.PackError, RuntimeError):
    """More or fewer records than were promised."""


class ConfigError(errors.ConfigError, RuntimeError, AssertionError):
    """A name that does not end in .ffr, or a number of records that cannot be."""


class MissingError(FileNotFoundError, RuntimeError, AssertionError):
    """A path that does not exist, on the disk or in the archive."""


class NoFileError(IsADirectoryError, RuntimeError, AssertionError):
    """A folder where a file is wanted."""


class NoFolderError(NotADirectoryError, RuntimeError, AssertionError):
    """A file where a folder is wanted."""


class StorageError(OSError, RuntimeError):
    """A failure of the storage."""


class ClosedError(ValueError, RuntimeError):
    """Reading or writing after `close`."""


# In this order: the first that an error is an instance of.
_KINDS: list[tuple[type[Exception], type[Exception]]] = [
    (errors.FormatError, FormatError),
    (errors.TruncatedError, TruncatedError),
    (errors.ChecksumError, ChecksumError),
    (errors.RecordIndexError, RecordIndexError),
    (errors.PackError, PackError),
    (errors.ConfigError, ConfigError),
    (FileNotFoundError, MissingError),
    (IsADirectoryError, NoFileError),
    (NotADirectoryError, NoFolderError),
    (OSError, StorageError),
    (ValueError, ClosedError),
]


def _translated(error: Exception) -> Exception:
    kind = next((ours for theirs, ours in _KINDS if isinstance(error, theirs)), None)
    if kind is None or isinstance(error, kind):
        return error
    if isinstance(error, errors.ArchiveError):
        return kind(error.path, error.problem, **error.facts)
    if isinstance(error, errors.PackError):
        return kind(error.path, error.problem)
    if isinstance(error, OSError):
        return kind(error.errno, error.strerror, error.filename)
    return kind(*error.args)


def as_reference(function: _Function) -> _Function:
    """The function, with its errors translated."""

    @wraps(function)
    def translating(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (errors.FfrfsError, OSError, ValueError) as error:
            raise _translated(error) from None

    return translating  # type: ignore[return-value]
