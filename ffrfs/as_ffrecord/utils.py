"""`ffrecord.utils`: writing what can be indexed to one archive or to several at once."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import track

from ffrfs.as_ffrecord.classes import FileWriter

__all__ = ["dump"]

_PROCESSES = 16


def dump(dataset: Any, fname: str | os.PathLike[str], nfiles: int, verbose: bool = False) -> None:
    """Write the records `dataset[0]` to `dataset[len(dataset) - 1]`, each bytes-like.

    Args: fname, an .ffr file, or with nfiles > 1 a folder for PART_00000.ffr and so on, as many at most; nfiles, how
    many, each written by a process of its own, 16 at a time; verbose, whether progress is shown.
    Raises: RuntimeError if a process failed, whose own error is on standard error.
    Source: HFAiLab/ffrecord utils.py, which does not notice that.
    """
    n = len(dataset)
    if nfiles == 1:
        return _write(dataset, range(n), fname, verbose)
    size = max(-(-n // nfiles), 1)
    parts = [range(first, min(first + size, n)) for first in range(0, n, size)]
    if len(parts) != nfiles:
        warnings.warn(f"{n} records make {len(parts)} files, not {nfiles}", stacklevel=2)
    folder = Path(fname)
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(dataset, part, folder / f"PART_{number:05d}.ffr", verbose) for number, part in enumerate(parts)]
    failed = [str(path) for path in _run(tasks)]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(parts)} files are not written: {', '.join(failed)}")
    return None


def _run(tasks: list[tuple[Any, range, Path, bool]]) -> Iterator[Path]:
    """Do the tasks in processes; gives the files of those that failed."""
    context = multiprocessing.get_context("fork")  # so that the data set need not pickle
    for begin in range(0, len(tasks), _PROCESSES):
        some = tasks[begin : begin + _PROCESSES]
        processes = [context.Process(target=_write, args=task) for task in some]
        for process in processes:
            process.start()
        for process, (_, _, path, _) in zip(processes, some, strict=True):
            process.join()
            if process.exitcode:
                yield path


def _write(dataset: Any, numbers: range, fname: str | os.PathLike[str], verbose: bool) -> None:
    with FileWriter(fname, len(numbers)) as writer:
        for number in track(numbers, os.path.basename(fname)) if verbose else numbers:
            writer.write_one(dataset[number])
