"""`ffrfs install-systemd`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ffrfs.errors import printable

__all__ = ["install_systemd"]


@click.command("install-systemd")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--root", type=click.Path(path_type=Path), default=Path("/"), help="Install under this folder, not /.")
def install_systemd(names: tuple[str, ...], root: Path) -> None:
    """Put the systemd units ffrfs@.service and ffrfs-exporter.service and the helper of mount(8) in place on this node,
    for this ffrfs.

    For each NAME, ffrfs@NAME is tied to the storage of the archive in /etc/ffrfs/NAME.toml. Every file written is
    shown; nothing is enabled or started.

    \b
    ffrfs install-systemd coco
    systemctl daemon-reload
    systemctl enable --now ffrfs@coco
    """
    from ffrfs.mount.install import install_on_node

    for path in install_on_node(root, Path(sys.argv[0]).resolve().parent, names):
        click.echo(printable(os.fspath(path)))
