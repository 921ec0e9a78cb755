"""`ffrfs mounts`, `stats` and `top`: what is mounted, and what a mount is doing."""

from __future__ import annotations

import itertools
import json
import pwd
import time

import click
from rich.console import Console, RenderableType
from rich.live import Live

from ffrfs.cli.completion import MountPoint
from ffrfs.cli.keyboard import keys_pressed
from ffrfs.cli.tables import activity_heading, activity_line, activity_table, plain_table
from ffrfs.daemon.mountpoint import list_mounts
from ffrfs.daemon.observation import observe, read_statistics
from ffrfs.daemon.probing import probe

__all__ = ["mounts", "stats", "top"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def mounts(as_json: bool) -> None:
    """List the archives that are mounted: where, by whom, and whether each mount answers.

    \b
    ffrfs mounts
    """
    rows = [
        {
            "mountpoint": mount.mountpoint,
            "archive": mount.source,
            "user": _user_name(mount.owner_uid),
            "state": probe(mount).value,
        }
        for mount in list_mounts()
    ]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    elif rows:
        _print(plain_table([name.upper() for name in rows[0]], [list(row.values()) for row in rows]))


@click.command()
@click.argument("mountpoint", type=MountPoint())
@click.option("--json", "as_json", is_flag=True, help="The counters as one JSON object.")
@click.option("--prometheus", is_flag=True, help="The counters in the text format of Prometheus.")
def stats(mountpoint: str, as_json: bool, prometheus: bool) -> None:
    """Show what the mount at MOUNTPOINT has done since it was made.

    \b
    ffrfs stats /mnt/coco
    ffrfs stats --json /mnt/coco | jq .counters.read_bytes
    ffrfs stats --prometheus /mnt/coco > /var/lib/node_exporter/ffrfs.prom
    """
    if as_json and prometheus:
        raise click.UsageError("give --json or --prometheus, not both")
    if as_json or prometheus:
        click.echo(read_statistics(mountpoint, "stats" if as_json else "metrics"), nl=False)
    else:
        _print(activity_table(observe(mountpoint), None))


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


def _print(what: RenderableType) -> None:
    """Print on a terminal as wide as it is, otherwise as wide as need be, so that nothing is cut off in a pipe."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=1 << 14)
    console.print(what, crop=False, overflow="ignore")


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
