"""`ffrfs mount` and `ffrfs umount`."""

from __future__ import annotations

import os

import click

from ffrfs.errors import MountError

__all__ = ["check_fuse", "mount", "umount"]


@click.command()
@click.argument("archive", type=click.Path())
@click.argument("mountpoint", type=click.Path())
@click.option("-o", "options", multiple=True, metavar="OPTION,…", help="Mount options, as listed below.")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground and log to standard error.")
@click.option("--log", type=click.Path(), help="Log file of a background mount.")
@click.option("-d", "--debug", is_flag=True, help="Log more.")
def mount(
    archive: str, mountpoint: str, options: tuple[str, ...], foreground: bool, log: str | None, debug: bool
) -> int:
    """Mount ARCHIVE, an .ffr file or a folder of shards, at MOUNTPOINT as a read-only tree.

    Goes to the background once the mount answers. Example:

    \b
    ffrfs mount coco.ffr /mnt/coco
    ffrfs mount coco.ffr /mnt/coco -o allow_other,workers=4
    ffrfs umount /mnt/coco

    \b
    Options for -o:
      allow_other        let other users read it (file modes decide)
      uid=, gid=, umask= how files look: owner, group, modes taken away (octal)
      nonempty           mount over a folder that has files
      fsname=            the source that mount(8) shows
      workers=N          processes that answer requests (default: from the cores)
      fill=SIZE          put files up to this size into the page cache when they
                         are opened (default 64k, 0 for none)
      prefetch=SIZE      how much may be in the page cache ahead of the readers
                         (default 256M, 0 for no reading ahead)
      read_ahead_kb=N    what the kernel asks for at once (default 512; root only)
      ro, noexec, nosuid, nodev, noatime and their opposites, as in mount(8)
    """
    check_fuse()
    from ffrfs.daemon.background import Foreground, Launch, in_background
    from ffrfs.daemon.log import default_log_path, start_logging
    from ffrfs.daemon.mounting import prepare
    from ffrfs.daemon.options import parse_options

    start_logging(None, debug)
    prepared = prepare(archive, os.path.abspath(mountpoint), parse_options(options))
    if foreground:
        return prepared.serve(Foreground())
    log_path = os.path.abspath(log or default_log_path(prepared.mountpoint))

    def serve(launch: Launch) -> int:
        start_logging(log_path, debug)
        return prepared.serve(launch)

    in_background(serve)
    return 0


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
@click.argument("mountpoint", type=click.Path())
def umount(mountpoint: str) -> None:
    """Unmount MOUNTPOINT, also if its daemon is dead. Files that are open stay readable until they are closed.

    \b
    ffrfs umount /mnt/coco
    """
    from ffrfs.daemon.mountpoint import find_mount, unmount

    if find_mount(mountpoint) is None:
        raise MountError(f"no archive is mounted at {mountpoint}: 'findmnt -t fuse.ffrfs' lists what is")
    unmount(mountpoint)
