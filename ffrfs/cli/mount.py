"""`ffrfs mount`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from ffrfs.cli.mount_options import mount_options
from ffrfs.errors import MountError

if TYPE_CHECKING:
    from ffrfs.daemon.serve import PreparedMount
    from ffrfs.daemon.takeover import Heritage

__all__ = ["check_fuse", "config_option", "mount", "serve_in_background"]


config_option = click.option(
    "--config", type=click.Path(), metavar="FILE", help="Read what to mount, and where, from a file."
)


@click.command()
@click.argument("paths", type=click.Path(), metavar="[ARCHIVE... MOUNTPOINT]", nargs=-1)
@config_option
@mount_options
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground and log to standard error.")
@click.option("--log", type=click.Path(), help="Log file of a background mount.")
@click.option("-d", "--debug", is_flag=True, help="Log more.")
def mount(
    paths: tuple[str, ...],
    config: str | None,
    options: tuple[str, ...],
    foreground: bool,
    log: str | None,
    debug: bool,
) -> int:
    """Mount ARCHIVE, an .ffr file or a folder of shards, at MOUNTPOINT as a read-only tree.

    Several archives are shown each in a folder of its name, or with --union laid over each other. The command goes to
    the background once the mount answers. Example:

    \b
    ffrfs mount coco.ffr /mnt/coco
    ffrfs mount --allow-other --workers 4 coco.ffr /mnt/coco
    ffrfs mount -o allow_other,workers=4 coco.ffr /mnt/coco
    ffrfs mount --union coco.ffr more.ffr /mnt/coco
    ffrfs mount --config /etc/ffrfs/coco.toml
    ffrfs umount /mnt/coco
    """
    check_fuse()
    from ffrfs.daemon.background import in_foreground
    from ffrfs.daemon.takeover import taking_up
    from ffrfs.mount.log import start_logging

    start_logging(None, debug)
    if not foreground:
        return serve_in_background(_prepare(paths, config, options, None), log, debug)
    with taking_up() as heritage:
        prepared = _prepare(paths, config, options, heritage)
    if heritage is not None and heritage.trial:
        return 0
    return in_foreground(prepared.serve, prepared.mountpoint, is_mounted=prepared.heritage is not None)


def _prepare(
    paths: tuple[str, ...], config: str | None, options: tuple[str, ...], heritage: Heritage | None
) -> PreparedMount:
    from ffrfs.daemon.serve import prepare
    from ffrfs.mount.config import read_config
    from ffrfs.mount.options import parse_options

    if config is not None and not paths:
        configured = read_config(config)
        configured.require_archive()
        paths = configured.archive, configured.mountpoint
        parsed = parse_options(options, configured.options)
    elif config is None and len(paths) >= 2:
        parsed = parse_options(options)
    else:
        raise click.UsageError("give either ARCHIVE and MOUNTPOINT, or --config FILE")
    archive, *others, mountpoint = paths
    return prepare(archive, os.path.abspath(mountpoint), parsed, others, heritage)


def serve_in_background(prepared: PreparedMount, log: str | None = None, debug: bool = False) -> NoReturn:
    """Make the mount and end this process once it answers. Raises: MountError, ArchiveError, OSError."""
    from ffrfs.daemon.background import in_background
    from ffrfs.mount.log import start_default_log, start_logging
    from ffrfs.mount.mountpoint import real_path

    if log is not None:
        start_logging(log, debug)
    else:
        start_default_log(real_path(prepared.mountpoint), debug)
    in_background(prepared.serve, prepared.mountpoint)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the mount is announced: nothing that comes while the interpreter ends may say otherwise


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
