"""`ffrfs warmup`."""

from __future__ import annotations

import os
import sys

import click
from rich.filesize import decimal

from ffrfs.archive.folder import resolve
from ffrfs.archive.opening import load_index
from ffrfs.archive.shards import Shards
from ffrfs.archive.warmup import warm_up
from ffrfs.cache.options import CacheOptions, cache_from_environment
from ffrfs.cli.cache import cache_options
from ffrfs.cli.interrupts import ended_by_sigterm
from ffrfs.cli.progress import progress_bar
from ffrfs.errors import ConfigError, printable
from ffrfs.format.index import Index
from ffrfs.mount.options import MountOptions
from ffrfs.sources.opening import absolute
from ffrfs.sources.source import Access

__all__ = ["warmup"]


@click.command()
@click.argument("archive", type=click.Path())
@click.argument("paths", nargs=-1)
@click.option(
    "--files-from", type=click.Path(), metavar="FILE", help="Files to fetch, one a line, in that order; -: stdin."
)
@click.option("-j", "--jobs", type=click.IntRange(1, 128), default=16, show_default=True, help="Requests at a time.")
@click.option("-o", "words", multiple=True, metavar="OPTION,…", help="cache, cache_size, endpoint, region, profile.")
def warmup(archive: str, paths: tuple[str, ...], files_from: str | None, jobs: int, words: tuple[str, ...]) -> None:
    """Fetch ARCHIVE, or only what is at PATHS, into the cache of this node.

    \b
    FFRFS_CACHE=/nvme/ffrfs ffrfs warmup s3://bucket/coco.ffr
    ffrfs warmup -o cache=/nvme/ffrfs s3://bucket/coco.ffr train2017
    """
    options = cache_options(words)
    wanted = [*paths, *(_lines(files_from) if files_from is not None else ())]
    with ended_by_sigterm():
        shards = _open(archive, options)
        index = load_index(shards)
        inodes = None if not paths and files_from is None else _files(index, wanted, shards.path)
        with progress_bar("Warming up") as progress:
            fetched_bytes = warm_up(shards, index, inodes, jobs, progress)
        shards.close()
    click.echo(f"{printable(shards.path)}: {decimal(fetched_bytes)} fetched")


def _open(archive: str, options: MountOptions) -> Shards:
    cache = CacheOptions(options.cache, options.cache_bytes) if options.cache else cache_from_environment()
    if cache is None:
        raise ConfigError("say where the cache is: -o cache=FOLDER, or FFRFS_CACHE=FOLDER in the environment")
    return Shards(absolute(archive), Access(options.endpoint, options.region, options.profile), cache)


def _lines(path: str) -> list[str]:
    with open(sys.stdin.fileno() if path == "-" else path, "rb", closefd=path != "-") as lines:
        return [os.fsdecode(line.rstrip(b"\n")) for line in lines if line.strip()]


def _files(index: Index, paths: list[str], archive: str) -> list[int]:
    """The inodes at these paths, in this order, and what lies below them."""
    inodes: list[int] = []
    for path in paths:
        inode = resolve(index, path, archive)
        inodes += [inode, *index.walk(inode)] if index.is_directory(inode) else [inode]
    return inodes
