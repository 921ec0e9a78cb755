"""`ffrfs cat`."""

from __future__ import annotations

import os
import sys

import click

from ffrfs.archive.folder import PackedFolder

__all__ = ["cat"]


@click.command()
@click.argument("archive", type=click.Path())
@click.argument("paths", nargs=-1, required=True)
def cat(archive: str, paths: tuple[str, ...]) -> None:
    """Write files of ARCHIVE to standard output, one after the other.

    \b
    ffrfs cat coco.ffr annotations/instances_val2017.json | head -c 200
    """
    with PackedFolder(archive) as folder:
        for path in paths:
            sys.stdout.buffer.write(folder.read_one(os.fsencode(path)).data)
        sys.stdout.buffer.flush()
