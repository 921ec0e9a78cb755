"""`ffrfs ls`, `cat`, `info`, `verify` and `index`: looking into an archive without mounting it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator

import click

from ffrfs.archive.folder import PackedFolder
from ffrfs.archive.index import ROOT_INODE, Index
from ffrfs.archive.opening import build, is_packed_folder, load_index
from ffrfs.archive.shards import Shards
from ffrfs.archive.sidecar import find_sidecar, save_sidecar
from ffrfs.errors import ArchiveError, ConfigError, printable

__all__ = ["cat", "index", "info", "ls", "verify"]


@click.command()
@click.argument("archive", type=click.Path())
@click.argument("path", required=False)
@click.option("-l", "long", is_flag=True, help="With kind, size and record number.")
@click.option("-R", "recursive", is_flag=True, help="Also what lies deeper.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def ls(archive: str, path: str | None, long: bool, recursive: bool, as_json: bool) -> None:
    """List what is in ARCHIVE, or in the folder PATH of it.

    \b
    ffrfs ls coco.ffr
    ffrfs ls -l -R coco.ffr train2017
    """
    with PackedFolder(archive) as folder:
        begin = folder.inode(path or "")
        tree = folder.index
        inodes: Iterator[int] | range
        if not tree.is_directory(begin):
            inodes = range(begin, begin + 1)
        else:
            inodes = tree.walk(begin) if recursive else iter(tree.children(begin))
        skip = len(tree.path(begin)) + 1 if begin != ROOT_INODE else 0
        for inode in inodes:
            name = tree.path(inode)[skip:] if inode != begin else tree.name(inode)
            click.echo(_line(tree, inode, name, long, as_json))


def _line(tree: Index, inode: int, name: bytes, long: bool, as_json: bool) -> str:
    directory = tree.is_directory(inode)
    if as_json:
        facts: dict[str, object] = {"name": os.fsdecode(name), "type": "directory" if directory else "file"}
        if not directory:
            facts |= {"size": tree.size(inode), "record": tree.record(inode)}
        return json.dumps(facts)
    if not long:
        return printable(name) + "/" * directory
    kind, size, record = ("d", "-", "-") if directory else ("-", str(tree.size(inode)), str(tree.record(inode)))
    return f"{kind} {size:>14} {record:>10} {printable(name)}"


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
            sys.stdout.buffer.write(folder.read_one(path).data)
        sys.stdout.buffer.flush()


@click.command()
@click.argument("archive", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def info(archive: str, as_json: bool) -> None:
    """Show what ARCHIVE is: shards, records, files, sizes, index.

    \b
    ffrfs info coco.ffr
    """
    shards = Shards(archive)
    found = find_sidecar(shards)
    tree = load_index(shards)
    packed = is_packed_folder(shards, tree.records)
    facts = {
        "archive": shards.path,
        "kind": "packed folder" if packed else "records",
        "shards": len(shards.paths),
        "bytes": sum(shards.sizes),
        "records": len(tree.records),
        "files": tree.files,
        "directories": tree.directories,
        "file_bytes": tree.file_bytes,
        "index": found[0] if found else None,
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, fact in facts.items():
        click.echo(f"{name.replace('_', ' '):<12} {'none kept' if fact is None else printable(str(fact))}")


@click.command()
@click.argument("archive", type=click.Path())
@click.option("-j", "--jobs", type=click.IntRange(1, 128), help="Reads at a time (default: from the cores).")
def verify(archive: str, jobs: int | None) -> int:
    """Read every record of ARCHIVE and check it; names what is damaged, and ends with status 4 if anything is.

    \b
    ffrfs verify coco.ffr
    """
    from ffrfs.archive.verifying import verify as verify_archive
    from ffrfs.cli.progress import progress_bar

    shards = Shards(archive)
    tree = load_index(shards)
    begin = time.perf_counter()
    with progress_bar("Verifying") as progress:
        damaged = verify_archive(shards, tree, jobs, progress)
    seconds = max(time.perf_counter() - begin, 1e-9)
    for problem in damaged:
        click.echo(f"ffrfs: {problem}", err=True)
    rate = sum(shards.sizes) / seconds / 1e6
    click.echo(f"{len(tree.records)} records, {len(damaged)} damaged, {rate:.0f} MB/s")
    return ArchiveError.exit_code if damaged else 0


@click.command()
@click.argument("archive", type=click.Path())
def index(archive: str) -> None:
    """Build the index of ARCHIVE ahead of time and keep it, beside the archive or in the user's cache folder.

    \b
    ffrfs index imagenet.ffr
    """
    shards = Shards(archive)
    path = save_sidecar(build(shards), shards)
    if path is None:
        raise ConfigError(
            f"no index of {shards.path} can be kept: neither its folder nor the cache folder can be written,"
            " or its header has no checksum to bind an index to"
        )
    click.echo(printable(path))
