"""The progress bar of the long commands: on a terminal only, so that logs and pipes stay clean."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

__all__ = ["progress_bar"]


@contextlib.contextmanager
def progress_bar(title: str, files: int, total_bytes: int) -> Iterator[Callable[[int, int], None]]:
    """Show files, bytes, rate and time left on standard error.

    Args: files, total_bytes, what there is to do.
    Yields: a function to call with the (files, bytes) done since its last call; any thread may call it.
    """
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[files]}/{task.fields[all_files]} files"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(title, total=total_bytes, files=0, all_files=files)

        def advance(more_files: int, more_bytes: int) -> None:
            done = progress.tasks[task].fields["files"] + more_files
            progress.update(task, advance=more_bytes, files=done)

        yield advance
