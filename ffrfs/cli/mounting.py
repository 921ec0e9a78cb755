"""`ffrfs mount` and `ffrfs umount`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ffrfs.cli.completion import MountPoint
from ffrfs.cli.mount_options import mount_options
from ffrfs.errors import MountError

if TYPE_CHECKING:
    from ffrfs.daemon.mounting import PreparedMount

__all__ = ["check_fuse", "mount", "serve_in_background", "umount"]

_CONFIG = click.option(
    "--config", type=click.Path(), metavar="FILE", help="Read what to mount, and where, from a file."
)


@click.command()
@click.argument("archive", type=click.Path(), required=False)
@click.argument("mountpoint", type=click.Path(), required=False)
@_CONFIG
@mount_options
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground and log to standard error.")
@click.option("--log", type=click.Path(), help="Log file of a background mount.")
@click.option("-d", "--debug", is_flag=True, help="Log more.")
def mount(
    archive: str | None,
    mountpoint: str | None,
    config: str | None,
    options: tuple[str, ...],
    foreground: bool,
    log: str | None,
    debug: bool,
) -> int:
    """Mount ARCHIVE, an .ffr file or a folder of shards, at MOUNTPOINT as a read-only tree.

    Goes to the background once the mount answers. Example:

    \b
    ffrfs mount coco.ffr /mnt/coco
    ffrfs mount --allow-other --workers 4 coco.ffr /mnt/coco
    ffrfs mount -o allow_other,workers=4 coco.ffr /mnt/coco
    ffrfs mount --config /etc/ffrfs/coco.toml
    ffrfs umount /mnt/coco
    """
    check_fuse()
    from ffrfs.daemon.background import Foreground
    from ffrfs.daemon.config import read_config
    from ffrfs.daemon.log import start_logging
    from ffrfs.daemon.mounting import prepare
    from ffrfs.daemon.options import parse_options

    start_logging(None, debug)
    if config is not None and archive is None:
        configured = read_config(config)
        configured.require_archive()
        archive, mountpoint = configured.archive, configured.mountpoint
        parsed = parse_options(options, configured.options)
    elif config is None and archive is not None and mountpoint is not None:
        parsed = parse_options(options)
    else:
        raise click.UsageError("give either ARCHIVE and MOUNTPOINT, or --config FILE")
    prepared = prepare(archive, os.path.abspath(mountpoint), parsed)
    if foreground:
        return prepared.serve(Foreground())
    serve_in_background(prepared, log, debug)
    return 0


def serve_in_background(prepared: PreparedMount, log: str | None = None, debug: bool = False) -> None:
    """Make the mount and return once it answers. Raises: MountError, ArchiveError, OSError."""
    from ffrfs.daemon.background import in_background
    from ffrfs.daemon.log import default_log_path, start_logging

    start_logging(os.path.abspath(log or default_log_path(prepared.mountpoint)), debug)
    in_background(prepared.serve)


def check_fuse() -> None:
    """Raises: MountError naming what is missing, if this Python cannot mount."""
    try:
        import pyfuse3  # noqa: F401
        import trio  # noqa: F401
    except ImportError as error:
        raise MountError(
            f"mounting needs pyfuse3 and trio, and {error.name or 'one of them'} is missing: install the packages fuse3"
            " and libfuse3-dev, then pip install 'ffrfs[fuse]' (without a mount, use the backend 'ffrecord' in process)"
        ) from error


@click.command()
@click.argument("mountpoint", type=MountPoint(), required=False)
@_CONFIG
@click.option("--dead", is_flag=True, help="Only if its daemon is dead; otherwise do nothing.")
def umount(mountpoint: str | None, config: str | None, dead: bool) -> None:
    """Unmount MOUNTPOINT, also if its daemon is dead. Files that are open stay readable until they are closed.

    \b
    ffrfs umount /mnt/coco
    """
    from ffrfs.daemon.config import read_config
    from ffrfs.daemon.mountpoint import clean_stale, find_mount, unmount

    if config is not None and mountpoint is None:
        mountpoint = read_config(config).mountpoint
    elif config is not None or mountpoint is None:
        raise click.UsageError("give either MOUNTPOINT or --config FILE")
    if dead:
        clean_stale(mountpoint)
        return
    if find_mount(mountpoint) is None:
        raise MountError(f"no archive is mounted at {mountpoint}: 'ffrfs mounts' lists what is mounted")
    unmount(mountpoint)
