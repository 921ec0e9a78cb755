"""`ffrfs index`."""

from __future__ import annotations

import click

from ffrfs.archive.index_file import save_index_file
from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.errors import ConfigError, printable

__all__ = ["index"]


@click.command()
@click.argument("archive", type=click.Path())
def index(archive: str) -> None:
    """Build the index of ARCHIVE ahead of time and keep it, beside the archive or in the user's cache folder.

    \b
    ffrfs index imagenet.ffr
    """
    shards = Shards(archive)
    path = save_index_file(build(shards), shards)
    if path is None:
        raise ConfigError(
            f"no index of {shards.path} can be kept: neither its folder nor the cache folder can be written,"
            " or its header has no checksum to bind an index to"
        )
    click.echo(printable(path))
