"""The progress bar of the long commands: on a terminal only, so that logs and pipes stay clean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from ffrfs.pack.progress import Progress

__all__ = ["progress_bar"]


def _ignore(files_done: int, bytes_done: int, files_total: int, bytes_total: int) -> None:
    pass


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show files, bytes, rate and time left on standard error.

    Yields: a function to call with (files done, bytes done, files in all, bytes in all), from any thread; before its
    first call the bar only shows that something goes on.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _ignore
        return
    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[files]}"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        task = bar.add_task(title, total=None, files="")

        def show(files_done: int, bytes_done: int, files_total: int, bytes_total: int) -> None:
            files = f"{files_done}/{files_total} files"
            bar.update(task, completed=bytes_done, total=bytes_total, files=files)

        yield show
