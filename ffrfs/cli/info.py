"""`ffrfs info`."""

from __future__ import annotations

import json

import click

from ffrfs.archive.index_file import find_index_file
from ffrfs.archive.opening import is_packed_folder, load_index
from ffrfs.archive.shards import Shards
from ffrfs.errors import printable

__all__ = ["info"]


@click.command()
@click.argument("archive", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def info(archive: str, as_json: bool) -> None:
    """Show what ARCHIVE is: shards, records, files, sizes, index.

    \b
    ffrfs info coco.ffr
    """
    shards = Shards(archive)
    found = find_index_file(shards)
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
