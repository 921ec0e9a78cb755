"""`ffrfs stats`."""

from __future__ import annotations

import click

from ffrfs.cli.completion import MountPoint
from ffrfs.cli.console import print_whole
from ffrfs.cli.tables import activity_table
from ffrfs.errors import printable
from ffrfs.mount.observation import observe, read_statistics

__all__ = ["stats"]


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
        for line in read_statistics(mountpoint, "stats" if as_json else "metrics").split("\n")[:-1]:
            click.echo(printable(line))
    else:
        print_whole(activity_table(observe(mountpoint), None))
