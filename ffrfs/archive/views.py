"""A view of archives as it is mounted: their files, open, and one index for all of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Literal

from ffrfs.archive.folder import resolve
from ffrfs.archive.shards import Shards
from ffrfs.errors import ConfigError
from ffrfs.format.index import Index
from ffrfs.format.views import Layer, merge_layers

__all__ = ["Arrangement", "view_of"]

Arrangement = Literal["union", "folders"]


def view_of(
    opened: Sequence[Shards], indexes: Sequence[Index], arrangement: Arrangement, subdir: str = ""
) -> tuple[Shards, Index]:
    """The files and the index of several archives at one place.

    Args: opened, indexes, the archives, which this takes over; arrangement, laid over each other, the later above the
    earlier, or each in a folder of its name; subdir, the directory of the view that becomes its root.
    Raises: ConfigError for two archives of one name; FileNotFoundError, NotADirectoryError for the directory.
    """
    if len(opened) == 1 and not subdir:
        return opened[0], indexes[0]
    names = _folder_names(opened) if arrangement == "folders" and len(opened) > 1 else [b""] * len(opened)
    shards = Shards.joined(opened)
    index = indexes[0]
    if len(opened) > 1:
        layers = [Layer(index, folder=name) for index, name in zip(indexes, names, strict=True)]
        index = merge_layers(shards.path, layers)
    if subdir:
        inode = resolve(index, subdir, shards.path)
        if not index.is_directory(inode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), f"{shards.path}/{subdir.lstrip('/')}")
        index = merge_layers(shards.path, [Layer(index, inode)])
    return shards, index


def _folder_names(opened: Sequence[Shards]) -> list[bytes]:
    names: dict[bytes, str] = {}
    for shards in opened:
        name = os.fsencode(os.path.basename(os.path.abspath(shards.path)).removesuffix(".ffr"))
        if name in names:
            raise ConfigError(
                f"{names[name]} and {shards.path} would both be the folder {os.fsdecode(name)}: rename one of them, or"
                " lay them over each other with --union"
            )
        names[name] = shards.path
    return list(names)
