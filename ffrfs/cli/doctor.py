"""`ffrfs doctor`."""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from ffrfs.cli.completion import MountPoint
from ffrfs.errors import printable
from ffrfs.mount.doctor import Finding, Level, examine_mount, examine_mountpoint, examine_system
from ffrfs.mount.mountpoint import find_mount, list_mounts
from ffrfs.mount.probe import probe_all

__all__ = ["doctor"]

_COLORS = {Level.GOOD: "green", Level.NOTE: "yellow", Level.PROBLEM: "red"}


@click.command()
@click.argument("mountpoint", type=MountPoint(), required=False)
@click.option("--fix", is_flag=True, help="Unmount dead mounts of ffrfs; nothing else is changed.")
def doctor(mountpoint: str | None, fix: bool) -> int:
    """Look for what is wrong with this system and with the mount at MOUNTPOINT, or with all; says what to do.

    Ends with status 1 if there is a problem.

    \b
    ffrfs doctor
    ffrfs doctor /mnt/coco
    ffrfs doctor --fix
    """
    healthy = _show("system", examine_system())
    if mountpoint is None:
        mounts = list_mounts()
    else:
        found = find_mount(mountpoint)
        mounts = [] if found is None else [found]
        if found is None:
            healthy &= _show(mountpoint, [examine_mountpoint(os.path.abspath(mountpoint))])
    for mount, state in zip(mounts, probe_all(mounts), strict=True):
        healthy &= _show(mount.mountpoint, examine_mount(mount, state, fix))
    return 0 if healthy else 1


def _show(title: str, findings: Iterable[Finding]) -> bool:
    """Print findings as they come; returns whether there is no problem among them."""
    click.secho(printable(title), bold=True)
    healthy = True
    for finding in findings:
        click.echo(f"  {click.style(f'{finding.level.value:<8}', _COLORS[finding.level])} {printable(finding.text)}")
        if finding.remedy:
            click.echo(f"           → {printable(finding.remedy)}")
        healthy &= finding.level is not Level.PROBLEM
    return healthy
