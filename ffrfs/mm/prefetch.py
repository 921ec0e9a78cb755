"""`PrefetchDataset`: reads the files of a whole batch at once, before the pipeline asks for them one by one.

A pipeline reads one file after the other, so on storage with latency a batch of 64 waits 64 times. A DataLoader that
finds `__getitems__` hands over all numbers of a batch; their files are then read from the archive as one sorted, merged
batch, or announced (`ffrfs.prefetch`) if they lie on a mount or a disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

from ffrfs.hints import prefetch
from ffrfs.mm.client import FFRecordClient
from ffrfs.mm.uri import SCHEME

__all__ = ["PrefetchDataset", "sample_files"]


def sample_files(dataset: Any, index: int) -> list[str]:
    """The files of a sample of an mmengine data set: what `get_data_info(index)` has under keys that end in `path`.

    Nested dictionaries, as multi-view data sets have them, are gone through; lists of annotations are not.
    """
    return list(_paths(dataset.get_data_info(index)))


def _paths(info: Any, is_path: bool = False) -> Iterator[str]:
    if isinstance(info, dict):
        for key, value in info.items():
            yield from _paths(value, str(key).endswith("path"))
    elif isinstance(info, (list, tuple)) and is_path:
        for value in info:
            yield from _paths(value, True)
    elif isinstance(info, (str, os.PathLike)) and is_path:
        yield os.fspath(info)


class PrefetchDataset:
    """A data set that behaves as the one it wraps, and reads ahead when a DataLoader asks for a batch.

    Args: dataset, any map-style data set, or the config of one of mmengine's. files, what a sample needs: called with
    the data set and the sample's number, returns paths as the pipeline spells them. backend_args, as in the pipeline,
    by default those that the data set and its transforms have. announce_files, called with the paths that no archive
    has.
    Source: torch.utils.data._utils.fetch, which looks for `__getitems__`.
    """

    def __init__(
        self,
        dataset: Any,
        files: Callable[[Any, int], Iterable[str]] = sample_files,
        backend_args: dict[str, Any] | None = None,
        announce: Callable[[list[str]], object] = prefetch,
    ) -> None:
        if isinstance(dataset, dict):
            dataset = import_module("mmengine.registry").DATASETS.build(dataset)
        self.dataset, self.files, self.announce = dataset, files, announce
        found = [backend_args] if backend_args else _backend_args(dataset)
        self.clients = [FFRecordClient(**args) for args in map(_client_args, found)] + [FFRecordClient()]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The samples of a batch, their files read ahead."""
        self.read_ahead(indices)
        return [self.dataset[index] for index in indices]

    def read_ahead(self, indices: Sequence[int]) -> None:
        """Read the files of these samples as one batch, or announce them."""
        paths = [path for index in indices for path in self.files(self.dataset, int(index))]
        for client in self.clients:
            paths = client.read_ahead(paths)
        if paths:
            self.announce(paths)

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # not set yet: this object is being unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)


def _backend_args(dataset: Any) -> list[dict[str, Any]]:
    """The distinct arguments of this backend that a data set, those it wraps and their transforms have."""
    found: list[dict[str, Any]] = []
    waiting = [dataset]
    while waiting:
        holder = waiting.pop()
        for name in ("backend_args", "file_client_args"):
            args = getattr(holder, name, None)
            if isinstance(args, dict) and args.get("backend") == SCHEME and args not in found:
                found.append(args)
        waiting += getattr(holder, "datasets", [])
        waiting += getattr(getattr(holder, "pipeline", None), "transforms", [])
        if hasattr(holder, "dataset"):
            waiting.append(holder.dataset)
    return found


def _client_args(backend_args: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in backend_args.items() if name != "backend"}
