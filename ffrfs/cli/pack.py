"""`ffrfs pack`."""

from __future__ import annotations

import contextlib
from typing import Any

import click
from rich.filesize import decimal

from ffrfs.archive.index_file import save_index_file
from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.cli.cluster import dask_executor
from ffrfs.cli.interrupts import ended_by_sigterm
from ffrfs.cli.progress import progress_bar
from ffrfs.errors import ConfigError, printable
from ffrfs.mount.options import parse_size
from ffrfs.pack.convert import pack_sources
from ffrfs.pack.copy import MAX_JOBS
from ffrfs.pack.pack import DEFAULT_JOBS, pack_folder
from ffrfs.pack.scan import Symlinks
from ffrfs.pack.sources.opening import is_plain_folder

__all__ = ["pack"]


def _size(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path())
@click.argument("archive", type=click.Path())
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, MAX_JOBS),
    default=DEFAULT_JOBS,
    show_default=True,
    help="Threads that read ahead where storage is slow, or write shards.",
)
@click.option(
    "--symlinks",
    type=click.Choice(["follow", "skip", "error"]),
    default="follow",
    show_default=True,
    help="Pack what they point to, leave them out, or stop at the first.",
)
@click.option("--shards", type=click.IntRange(1), metavar="N", help="Write N shards to the folder ARCHIVE.")
@click.option("--shard-size", callback=_size, metavar="SIZE", help="Write shards of at most SIZE, such as 1GiB.")
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Let a dask cluster write the shards; it must see the same paths. It is trusted: it can run code as you.",
)
@click.option("--no-index", is_flag=True, help="Do not write the index beside the archive.")
@click.option("-v", "--verbose", is_flag=True, help="Print a line for each file, or each shard.")
def pack(
    sources: tuple[str, ...],
    archive: str,
    jobs: int,
    symlinks: Symlinks,
    shards: int | None,
    shard_size: int | None,
    dask: str | None,
    no_index: bool,
    verbose: bool,
) -> None:
    """Pack SOURCE into ARCHIVE, a file whose name ends in .ffr, or with --shards or --shard-size a folder of them.

    ARCHIVE may be an object, s3://BUCKET/KEY, which appears when all of it is uploaded.

    SOURCE is a folder, or one or more archives of another kind: tar (also compressed, and shards of WebDataset), zip,
    LMDB, TFRecord, parquet files of images. Nothing appears at ARCHIVE before all of it is written.

    \b
    ffrfs pack coco/ coco.ffr
    ffrfs pack --shard-size 1GiB imagenet/ imagenet-shards/
    ffrfs pack --shards 64 --dask tcp://scheduler:8786 /data/laion /data/laion-shards
    ffrfs pack 'shards-{000..127}.tar' dataset.ffr
    """
    if dask is not None and shards is None and shard_size is None:
        raise ConfigError("a cluster writes shards, so --dask needs --shards or --shard-size")
    folder = sources[0] if len(sources) == 1 and is_plain_folder(sources[0]) else None
    if dask is not None and folder is None:
        raise ConfigError("a cluster packs folders; pack archives of other kinds without --dask")
    cluster = contextlib.nullcontext() if dask is None else dask_executor(dask)
    with ended_by_sigterm(), cluster as executor, progress_bar("Packing") as progress:
        options: dict[str, Any] = {
            "symlinks": symlinks,
            "jobs": jobs,
            "shards": shards,
            "shard_bytes": shard_size,
            "progress": progress,
        }
        if folder is not None:
            packed = pack_folder(folder, archive, verbose, executor=executor, **options)
        else:
            packed = pack_sources(sources, archive, verbose, **options)
    if not no_index:
        opened = Shards(archive)
        save_index_file(build(opened).with_all_chunks(packed.chunk_checksums), opened)
        opened.close()
    click.echo(f"{printable(archive)}: {packed.files} files, {decimal(packed.size_bytes)}")
