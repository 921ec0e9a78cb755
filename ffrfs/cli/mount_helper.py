"""`mount.ffrfs`, which mount(8) runs for `mount -t ffrfs` and for lines of /etc/fstab.

The command line is mount(8)'s, not ours: `mount.ffrfs SOURCE TARGET [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`.
Source: mount(8), EXTERNAL HELPERS and EXIT STATUS.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from ffrfs.cli.exit_status import run_command
from ffrfs.cli.mount import check_fuse, serve_in_background
from ffrfs.errors import ConfigError

__all__ = ["main"]

# Exit statuses of mount(8).
_INCORRECT_INVOCATION = 1
_MOUNT_FAILURE = 32


@click.command()
@click.argument("source", type=click.Path())
@click.argument("target", type=click.Path())
@click.option(
    "-o", "options", multiple=True, metavar="OPTION,…", help="As for 'ffrfs mount'; mount(8)'s own are known."
)
@click.option("-s", "sloppy", is_flag=True, help="Leave out options that do not exist instead of refusing them.")
@click.option("-f", "fake", is_flag=True, help="Check everything, mount nothing.")
@click.option("-n", "no_mtab", is_flag=True, help="Without effect: there is no mtab.")
@click.option("-v", "verbose", is_flag=True, help="Log more.")
@click.option("-t", "fs_type", help="Without effect: there is one type.")
def mount_helper(
    source: str,
    target: str,
    options: tuple[str, ...],
    sloppy: bool,
    fake: bool,
    no_mtab: bool,
    verbose: bool,
    fs_type: str | None,
) -> None:
    """Mount SOURCE, an .ffr file or a folder of shards, at TARGET for mount(8)."""
    check_fuse()
    from ffrfs.daemon.serve import prepare
    from ffrfs.mount.fstab import read_options
    from ffrfs.mount.log import start_logging

    start_logging(None, verbose)
    prepared = prepare(source, os.path.abspath(target), read_options(options, sloppy))
    if not fake:
        serve_in_background(prepared, debug=verbose)


def main() -> NoReturn:
    """Run the helper, with the exit statuses of mount(8)."""
    status = run_command(mount_helper, "mount.ffrfs")
    sys.exit({0: 0, ConfigError.exit_code: _INCORRECT_INVOCATION}.get(status, _MOUNT_FAILURE))
