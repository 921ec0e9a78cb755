"""`ffrfs mounts`."""

from __future__ import annotations

import json
import pwd

import click

from ffrfs.cli.console import print_whole
from ffrfs.cli.tables import plain_table
from ffrfs.mount.mountpoint import list_mounts
from ffrfs.mount.probe import probe_all

__all__ = ["mounts"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def mounts(as_json: bool) -> None:
    """List the archives that are mounted: where, by whom, and whether each mount answers.

    \b
    ffrfs mounts
    """
    found = list_mounts()
    rows = [
        {
            "mountpoint": mount.mountpoint,
            "archive": mount.source,
            "user": _user_name(mount.owner_uid),
            "state": state.value,
        }
        for mount, state in zip(found, probe_all(found), strict=True)
    ]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    elif rows:
        print_whole(plain_table([name.upper() for name in rows[0]], [list(row.values()) for row in rows]))


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
