"""`ffrfs verify`."""

from __future__ import annotations

import time

import click

from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.errors import ArchiveError

__all__ = ["verify"]


@click.command()
@click.argument("archive", type=click.Path())
@click.option("-j", "--jobs", type=click.IntRange(1, 128), help="Reads at a time (default: from the cores).")
def verify(archive: str, jobs: int | None) -> int:
    """Read the header, the tree of names and every record of ARCHIVE, and check them; names what is damaged, and ends
    with status 4 if anything is. An index that is kept is compared with the archive.

    \b
    ffrfs verify coco.ffr
    """
    from ffrfs.cli.progress import progress_bar
    from ffrfs.pack.verify import verify as verify_archive
    from ffrfs.pack.verify import verify_index_file

    shards = Shards(archive)
    tree = build(shards)  # whatever index is kept
    begin = time.perf_counter()
    with progress_bar("Verifying") as progress:
        damaged = verify_archive(shards, tree, jobs, progress)
    wrong_index = verify_index_file(shards, tree)
    seconds = max(time.perf_counter() - begin, 1e-9)
    for problem in [*damaged, *wrong_index]:
        click.echo(f"ffrfs: {problem}", err=True)
    rate = sum(shards.sizes) / seconds / 1e6
    click.echo(f"{len(tree.records)} records, {len(damaged)} damaged, {rate:.0f} MB/s")
    return ArchiveError.exit_code if damaged or wrong_index else 0
