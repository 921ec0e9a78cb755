"""`ffrfs unpack`."""

from __future__ import annotations

import os

import click
from rich.filesize import decimal

from ffrfs.cli.interrupts import ended_by_sigterm
from ffrfs.cli.progress import progress_bar
from ffrfs.errors import printable
from ffrfs.pack.unpack import OutputKind
from ffrfs.pack.unpack import unpack as unpack_archive

__all__ = ["unpack"]


@click.command()
@click.argument("archive", type=click.Path())
@click.argument("target", type=click.Path())
@click.argument("paths", nargs=-1)
@click.option("-f", "--force", is_flag=True, help="Also if TARGET is not empty; replace files that are in the way.")
@click.option("--to", type=click.Choice(["folder", "tar"]), default="folder", show_default=True, help="What TARGET is.")
def unpack(archive: str, target: str, paths: tuple[str, ...], force: bool, to: OutputKind) -> None:
    """Write the files of ARCHIVE, or only those at PATHS, to TARGET, a folder or a tar.

    Every file is checked. A folder holds .ffrfs-unpack-incomplete until all of them are written; a tar appears then.

    \b
    ffrfs unpack coco.ffr coco/
    ffrfs unpack coco.ffr somewhere/ annotations val2017/000000000139.jpg
    ffrfs unpack --to tar coco.ffr coco.tar
    """
    with ended_by_sigterm(), progress_bar("Unpacking") as progress:
        chosen = list(map(os.fsencode, paths)) or None
        unpacked = unpack_archive(archive, target, force, to=to, paths=chosen, progress=progress)
    click.echo(f"{printable(target)}: {unpacked.files} files, {decimal(unpacked.size_bytes)}")
