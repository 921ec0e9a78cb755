"""Printing to a terminal, or to a file without cutting anything off."""

from __future__ import annotations

from rich.console import Console, RenderableType

__all__ = ["print_whole"]


def print_whole(what: RenderableType) -> None:
    """Print on a terminal as wide as it is, otherwise as wide as need be, so that nothing is cut off in a pipe."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=1 << 14)
    console.print(what, crop=False, overflow="ignore")
