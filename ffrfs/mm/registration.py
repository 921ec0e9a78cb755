"""Declaring the backend, the worker function and the data-set wrapper to the frameworks that are imported."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from ffrfs.mm.at_import import FRAMEWORKS
from ffrfs.mm.client import FFRecordClient
from ffrfs.mm.foreign import give_way, is_taken
from ffrfs.mm.mending import accept_uris, pickle_as_new_object
from ffrfs.mm.prefetch import PrefetchDataset
from ffrfs.mm.uri import SCHEME
from ffrfs.mm.workers import worker_init

__all__ = ["BACKEND", "WORKER_INIT", "declare", "register"]

BACKEND = "ffrecord"
WORKER_INIT = "ffrfs_worker_init"


_declared: dict[str, str] = {}  # names of the frameworks that know the backend, and their versions


def register() -> list[str]:
    """Declare everything to every framework that is installed, importing those that are not imported yet.

    Returns: the names and versions of those that know it now. Raises: ImportError if there are none.
    """
    problems = []
    for name in FRAMEWORKS:
        try:
            import_module(name)
        except ImportError as error:
            problems.append(str(error))
        else:
            declare(name)
    if not _declared:
        raise ImportError(
            "the backend 'ffrecord' is registered nowhere: neither mmengine nor an mmcv that has FileClient"
            f" (1.3.18 to 1.7) can be imported ({'; '.join(problems)})"
        )
    return [f"{name} {version}" for name, version in _declared.items()]


def declare(name: str) -> None:
    """Declare everything to a framework, unless it knows it or is not imported."""
    framework = sys.modules.get(name)
    if framework is None or name in _declared:
        return
    if {"mmengine": _declare_to_mmengine, "mmcv": _declare_to_mmcv}[name](framework):
        _declared[name] = framework.__version__


def _declare_to_mmcv(mmcv: Any) -> bool:
    if not hasattr(mmcv, "FileClient"):  # mmcv 2 reads through mmengine
        return False
    _declare_client(mmcv.FileClient, mmcv.BaseStorageBackend)
    return True


def _declare_to_mmengine(mmengine: Any) -> bool:
    fileio = import_module("mmengine.fileio")
    fileio.BaseStorageBackend.register(FFRecordClient)
    backends = import_module("mmengine.fileio.backends.registry_utils").backends
    if not is_taken(backends, BACKEND, FFRecordClient):
        fileio.register_backend(BACKEND, FFRecordClient, force=True, prefixes=SCHEME)
        give_way(fileio, backends, BACKEND, FFRecordClient)
    _declare_client(fileio.FileClient, fileio.file_client.BaseStorageBackend)
    accept_uris()
    registry = import_module("mmengine.registry")
    registry.FUNCTIONS.register_module(name=WORKER_INIT, module=worker_init, force=True)
    registry.DATASETS.register_module(module=PrefetchDataset, force=True)
    try:
        pickle_as_new_object(import_module("mmengine.dataset").Compose)
        registry.HOOKS.register_module(module=import_module("ffrfs.mm.hooks").PrefetchHook, force=True)
    except ImportError:
        return True  # without torch there are no data sets, and no workers to mend
    return True


def _declare_client(file_client: Any, base: Any) -> None:
    base.register(FFRecordClient)
    if not is_taken(file_client._backends, BACKEND, FFRecordClient):
        file_client.register_backend(BACKEND, FFRecordClient, force=True, prefixes=SCHEME)
        give_way(file_client, file_client._backends, BACKEND, FFRecordClient)
    pickle_as_new_object(file_client)
