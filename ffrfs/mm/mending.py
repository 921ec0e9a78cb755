"""What is wrong in the frameworks for a backend such as this one, mended where they are imported.

A `FileClient`, of mmcv and of mmengine, hands itself out of a cache of instances in `__new__`. Unpickling or copying
one calls that without arguments, so it gets the cached client of the *disk* and overwrites its backend: from then on
the whole process reads the disk through the archive. And a data set of mmengine names its backend only in its config,
so a spawned worker, where no `custom_imports` runs, does not know it. Pickling both classes as here mends both: the
copy is a new object, and to make it the worker imports this package, which registers the backend there.

mmengine's `is_abs` takes http:// and s3:// for absolute paths and would put `data_root` before `ffrecord://…`; its
`copyfile_to_local` and `copytree_to_local` look for the backend in the path that they write to.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from ffrfs.mm.client import FFRecordClient
from ffrfs.mm.readonly import FilePath
from ffrfs.mm.uri import is_uri

__all__ = ["accept_uris", "pickle_as_new_object"]


def pickle_as_new_object(kind: type) -> None:
    """Have instances of `kind` pickled and deep-copied as a new object with the same attributes."""
    copyreg.pickle(kind, _reduce)


def _reduce(instance: Any) -> tuple[Any, ...]:
    return _new_object, (type(instance),), vars(instance)


def _new_object(kind: type) -> Any:
    return object.__new__(kind)


def accept_uris() -> None:
    """Have the functions of the imported mmengine take a path that begins with `ffrecord:` for what it is."""
    paths, io = import_module("mmengine.utils.path"), import_module("mmengine.fileio.io")
    _replace(paths.is_abs, _is_abs(paths.is_abs))
    _replace(io.copyfile_to_local, _copy(io.copyfile_to_local, FFRecordClient.copyfile_to_local))
    _replace(io.copytree_to_local, _copy(io.copytree_to_local, FFRecordClient.copytree_to_local))


def _is_abs(original: Callable[[str], bool]) -> Callable[[str], bool]:
    @wraps(original)
    def is_abs(path: str) -> bool:
        return is_uri(path) or original(path)

    return is_abs


def _copy(original: Callable[..., Any], from_archive: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def copy_to_local(src: FilePath, dst: FilePath, backend_args: dict[str, Any] | None = None) -> Any:
        if backend_args is None and is_uri(str(src)):
            return from_archive(FFRecordClient(), src, dst)
        return original(src, dst, backend_args=backend_args)

    return copy_to_local


def _replace(original: Callable[..., Any], mended: Callable[..., Any]) -> None:
    """Put a function in the place of another in every module that has it."""
    name = original.__name__
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get(name) is original:
            setattr(module, name, mended)
