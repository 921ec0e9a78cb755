"""`ffrfs cache ls`, `rm` and `verify`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import click
from rich.filesize import decimal

from ffrfs.cache.checking import drop_wrong_blocks
from ffrfs.cache.entry import Entry
from ffrfs.cache.folder import CachedFile, CacheFolder
from ffrfs.cache.options import CacheOptions, cache_from_environment
from ffrfs.errors import ConfigError, printable
from ffrfs.mount.options import MountOptions, parse_options
from ffrfs.sources.opening import absolute, redacted

__all__ = ["cache", "cache_options"]

_OPTIONS = ("cache", "cache_size", "endpoint", "region", "profile")


def cache_options(words: Iterable[str]) -> MountOptions:
    """Options after `-o` of commands that mount nothing. Raises: ConfigError for others than those of a cache."""
    listed = list(words)
    for option in (option for word in listed for option in word.split(",") if option):
        if option.partition("=")[0] not in _OPTIONS:
            raise ConfigError(f"option {option.partition('=')[0]} is none of a cache: {', '.join(_OPTIONS)}")
    return parse_options(listed)


_folder_option = click.option("--cache", "folder", type=click.Path(), metavar="FOLDER", help="Default: FFRFS_CACHE.")


@click.group()
def cache() -> None:
    """Look into the cache of this node, check it, or remove archives from it.

    \b
    ffrfs cache ls
    ffrfs cache verify
    ffrfs cache rm s3://bucket/coco.ffr
    """


@cache.command("ls")
@_folder_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_entries(folder: str | None, as_json: bool) -> None:
    """List the archives' files that are in the cache, those first that were used longest ago."""
    for entry in _open(folder).entries():
        facts = entry.facts
        if as_json:
            line = {"archive": facts.name, "size_bytes": facts.size_bytes, "held_bytes": entry.held_bytes}
            click.echo(json.dumps({**line, "used_at": entry.used_at, "in_use": entry.in_use}))
            continue
        share = 100 * entry.held_bytes / max(facts.size_bytes, 1)
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used_at))
        state = "in use" if entry.in_use else used
        click.echo(f"{min(share, 100):3.0f} % of {decimal(facts.size_bytes):>9}  {state:<16}  {printable(facts.name)}")


@cache.command("rm")
@_folder_option
@click.argument("archives", nargs=-1, metavar="ARCHIVE...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
def remove(folder: str | None, archives: tuple[str, ...], everything: bool) -> None:
    """Remove files of archives from the cache; those in use stay."""
    if bool(archives) == everything:
        raise click.UsageError("name the archives to remove from the cache, or give --all")
    wanted = {redacted(absolute(archive)) for archive in archives}
    cache_folder = _open(folder)
    found = [entry for entry in cache_folder.entries() if everything or entry.facts.name in wanted]
    missing = wanted - {entry.facts.name for entry in found}
    if missing:
        raise ConfigError(f"{min(missing)} is not in the cache: see 'ffrfs cache ls'")
    for entry in found:
        if not cache_folder.remove(entry.base):
            click.echo(f"{printable(entry.facts.name)} is in use and stays", err=True)


@cache.command("verify")
@_folder_option
def verify(folder: str | None) -> int:
    """Compare what is in the cache with the archives' checksums; wrong blocks are dropped, and fetched anew when read.

    Ends with status 4 if anything was wrong.
    """
    wrong = 0
    for found in _open(folder).entries():
        records, dropped = _verify(found)
        wrong += dropped
        click.echo(f"{printable(found.facts.name)}: {records} records compared, {dropped} wrong blocks dropped")
    return 4 if wrong else 0


def _verify(found: CachedFile) -> tuple[int, int]:
    entry = Entry(found.base, found.facts)
    try:
        return drop_wrong_blocks(entry)
    finally:
        entry.close()


def _open(folder: str | None) -> CacheFolder:
    options = CacheOptions(absolute(folder)) if folder else cache_from_environment()
    if options is None:
        raise ConfigError("say where the cache is: --cache FOLDER, or FFRFS_CACHE=FOLDER in the environment")
    return CacheFolder(options)
