"""`ffrfs ls`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import click

from ffrfs.archive.folder import PackedFolder
from ffrfs.errors import printable
from ffrfs.format.index import ROOT_INODE, Index
from ffrfs.format.names import decode_name

__all__ = ["ls"]


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
        begin = folder.inode(os.fsencode(path or ""))
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
        facts: dict[str, object] = {"name": decode_name(name), "type": "directory" if directory else "file"}
        if not directory:
            facts |= {"size": tree.size(inode), "record": tree.record(inode)}
        return json.dumps(facts)
    if not long:
        return printable(name) + "/" * directory
    kind, size, record = ("d", "-", "-") if directory else ("-", str(tree.size(inode)), str(tree.record(inode)))
    return f"{kind} {size:>14} {record:>10} {printable(name)}"
