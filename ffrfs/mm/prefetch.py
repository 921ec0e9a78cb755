"""`PrefetchDataset`: reads the files of a whole batch at once, before the pipeline asks for them one by one.

A pipeline reads one file after the other, so on storage with latency a batch of 64 waits 64 times. A DataLoader that
finds `__getitems__` hands over all numbers of a batch; their files are then read from the archive as one sorted, merged
batch, or announced (`ffrfs.prefetch`) if they lie on a mount or a disk.

What the pipeline reads all the same is learned: where such a path stands in the sample's dictionary, there stand those
of the other samples; one that stands nowhere is kept for the sample's next turn in this process.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

from ffrfs.hints import prefetch
from ffrfs.mm.client import FFRecordClient, recorded_reads
from ffrfs.mm.sample import Place, files_at, places_of, sample_files
from ffrfs.mm.uri import SCHEME

__all__ = ["PrefetchDataset"]


MIN_READS = 32  # of which the share read ahead is told
LOW_SHARE = 0.9


class PrefetchDataset:
    """A data set that behaves as the one it wraps, and reads ahead when a DataLoader asks for a batch.

    Args: dataset, any map-style data set, or the config of one of mmengine's. files, what a sample needs: called with
    the data set and the sample's number, returns paths as the pipeline spells them. backend_args, as in the pipeline,
    by default those that the data set and its transforms have. announce, called with the paths that no archive has.
    Warns once, RuntimeWarning, if less than 90 % of what a pipeline reads from archives had been read ahead.
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
        self._places: set[Place] = set()
        self._missed: dict[int, tuple[str, ...]] = {}  # by sample
        self._reads = self._ahead = 0
        self._warned = False
        self.clients = [FFRecordClient(**args) for args in map(_client_args, found)] + [FFRecordClient()]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The samples of a batch, their files read ahead."""
        self.read_ahead(indices)
        return [self._learning(int(index)) for index in indices]

    def read_ahead(self, indices: Sequence[int]) -> None:
        """Read the files of these samples as one batch, or announce them."""
        paths = [path for index in indices for path in self._files(int(index))]
        for client in self.clients:
            paths = client.read_ahead(paths)
        if paths:
            self.announce(paths)

    def _files(self, index: int) -> list[str]:
        learned = self._missed.get(index, ())
        if self._places:
            learned = (*learned, *files_at(self.dataset.get_data_info(index), self._places))
        return list(dict.fromkeys([*self.files(self.dataset, index), *learned]))

    def _learning(self, index: int) -> Any:
        """The sample; what its pipeline reads that was not read ahead is learned."""
        with recorded_reads() as reads:
            sample = self.dataset[index]
        self._reads += len(reads)
        self._ahead += sum(reads.values())
        missed = {path for path, ahead in reads.items() if not ahead}
        if missed:
            self._learn(index, missed)
        if self._reads >= MIN_READS and not self._warned and self._ahead < LOW_SHARE * self._reads:
            self._warned = True
            warnings.warn(
                f"PrefetchDataset read ahead {self._ahead} of {self._reads} files"
                f" ({100 * self._ahead // self._reads} %) that {type(self.dataset).__name__} reads from archives; give"
                " it files=, a function that names those of a sample",
                RuntimeWarning,
                stacklevel=3,
            )
        return sample

    def _learn(self, index: int, missed: set[str]) -> None:
        if hasattr(self.dataset, "get_data_info"):
            info = self.dataset.get_data_info(index)
            self._places |= places_of(info, missed)
            missed = missed - set(files_at(info, self._places))
        self._missed[index] = tuple(missed)

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
        if getattr(holder, "io_backend", None) == SCHEME:  # mmaction2's transforms
            args = {"backend": SCHEME, **getattr(holder, "kwargs", {})}
            if args not in found:
                found.append(args)
        waiting += getattr(holder, "datasets", [])
        waiting += getattr(getattr(holder, "pipeline", None), "transforms", [])
        if hasattr(holder, "dataset"):
            waiting.append(holder.dataset)
    return found


def _client_args(backend_args: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in backend_args.items() if name != "backend"}
