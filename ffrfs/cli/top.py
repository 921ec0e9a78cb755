"""`ffrfs top`."""

from __future__ import annotations

import itertools
import time

import click
from rich.console import Console
from rich.live import Live

from ffrfs.cli.completion import MountPoint
from ffrfs.cli.keyboard import keys_pressed
from ffrfs.cli.tables import activity_heading, activity_line, activity_table
from ffrfs.mount.observation import observe

__all__ = ["top"]


@click.command()
@click.argument("mountpoint", type=MountPoint())
@click.option("-i", "--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds between.")
@click.option("-n", "--count", type=click.IntRange(1), help="End after this many (default: go on).")
def top(mountpoint: str, interval: float, count: int | None) -> None:
    """Watch the mount at MOUNTPOINT; q or Ctrl-C ends. Where the output is no terminal, print a line each time.

    \b
    ffrfs top /mnt/coco
    ffrfs top -i 10 /mnt/coco >> coco.log
    """
    console = Console()
    try:
        if console.is_terminal:
            _show_live(console, mountpoint, interval, count)
        else:
            _print_lines(mountpoint, interval, count)
    except KeyboardInterrupt:
        pass  # the usual way to end it


def _show_live(console: Console, mountpoint: str, interval: float, count: int | None) -> None:
    earlier = observe(mountpoint)
    with Live(activity_table(earlier, None), console=console, auto_refresh=False) as live, keys_pressed() as key_within:
        for _ in itertools.repeat(None) if count is None else range(count):
            if key_within(interval) in ("q", "Q"):
                break
            now = observe(mountpoint)
            live.update(activity_table(now, now.since(earlier)), refresh=True)
            earlier = now


def _print_lines(mountpoint: str, interval: float, count: int | None) -> None:
    earlier = observe(mountpoint)
    click.echo(activity_heading())
    for _ in itertools.repeat(None) if count is None else range(count):
        time.sleep(interval)
        now = observe(mountpoint)
        click.echo(activity_line(now.since(earlier)))
        earlier = now
