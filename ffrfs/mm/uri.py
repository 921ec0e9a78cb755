"""Paths that name the archive they lead into: `ffrecord:///data/coco.ffr/train2017/x.jpg`. Pure."""

from __future__ import annotations

import re

from ffrfs.errors import ConfigError

__all__ = ["SCHEME", "is_uri", "split_path"]

SCHEME = "ffrecord"
_ARCHIVE = re.compile(r"(?:ffrecord:(?://)?)?(?P<archive>.*?\.ffr)(?:/(?P<path>.*))?", re.DOTALL)


def is_uri(path: str) -> bool:
    """Whether a path begins with `ffrecord:`; one slash after it is enough, since pathlib merges two."""
    return path.startswith(SCHEME + ":")


def split_path(path: str) -> tuple[str, str]:
    """Split `[ffrecord://]ARCHIVE.ffr/PATH` after the first name that ends in `.ffr`.

    Returns: the archive (a file or a folder of shards) and the path in it, empty for the archive's root.
    Raises: ConfigError if no name ends so.
    """
    match = _ARCHIVE.fullmatch(path)
    if match is None:
        raise ConfigError(
            f"{path} names no archive: give the backend fname='….ffr', or write ffrecord:///folder/archive.ffr/path"
        )
    return match["archive"], match["path"] or ""
