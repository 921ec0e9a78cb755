"""Functions of mmengine that do not know a URI of an archive, mended for whoever has imported them.

`is_abs` takes http:// and s3:// for absolute paths and would put `data_root` before `ffrecord://…`; `copyfile_to_local`
and `copytree_to_local` look for the backend in the path that they write to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from ffrfs.mm.client import FFRecordClient
from ffrfs.mm.readonly import FilePath
from ffrfs.mm.uri import is_uri

__all__ = ["accept_uris"]


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
