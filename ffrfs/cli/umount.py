"""`ffrfs umount`."""

from __future__ import annotations

import click

from ffrfs.cli.completion import MountPoint
from ffrfs.cli.mount import config_option
from ffrfs.errors import MountError

__all__ = ["umount"]


@click.command()
@click.argument("mountpoint", type=MountPoint(), required=False)
@config_option
@click.option("--dead", is_flag=True, help="Only if its daemon is dead; otherwise do nothing.")
def umount(mountpoint: str | None, config: str | None, dead: bool) -> None:
    """Unmount MOUNTPOINT, also if its daemon is dead. Files that are open stay readable until they are closed.

    \b
    ffrfs umount /mnt/coco
    """
    from ffrfs.mount.config import read_config
    from ffrfs.mount.mountpoint import clean_stale, find_mount, unmount_made

    if config is not None and mountpoint is None:
        mountpoint = read_config(config).mountpoint
    elif config is not None or mountpoint is None:
        raise click.UsageError("give either MOUNTPOINT or --config FILE")
    if dead:
        clean_stale(mountpoint)
        return
    mount = find_mount(mountpoint)
    if mount is None:
        raise MountError(f"no archive is mounted at {mountpoint}: 'ffrfs mounts' lists what is mounted")
    unmount_made(mount)
