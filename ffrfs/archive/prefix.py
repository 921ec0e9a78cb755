"""Paths as programs spell them, to paths in an archive. Pure; asks the operating system only for the current directory.

Data-set code joins a root folder of its own to every name (`data/coco/` and `train2017/x.jpg`), relative, absolute,
with `./`, with slashes doubled. `PathPrefix` cuts such a root off, however it is spelled.
"""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["PathPrefix", "near_match"]


class PathPrefix:
    """A root folder that is cut off paths.

    Args: prefix, the folder as programs spell it, which need not exist; None or empty: nothing is cut off, and paths
    are taken as relative to the archive. Attributes: spelled, the prefix as given, or None.
    """

    def __init__(self, prefix: str | os.PathLike[str] | None = None) -> None:
        self.spelled = os.fspath(prefix) if prefix else None
        self._quick = os.path.join(self.spelled, "") if self.spelled else ""

    def cut(self, path: str) -> str | None:
        """The path relative to the prefix, or None if it lies outside, which one that climbs out by `..` does.

        What is returned is never absolute, however many slashes follow the prefix: callers may join it to a folder.
        """
        if ".." not in path:
            if self.spelled is None:
                return path.lstrip("/")
            if path.startswith(self._quick):  # the usual case: spelled as the prefix is
                return path[len(self._quick) :].lstrip("/")
        inside = os.path.relpath(path or ".", self.spelled) if self.spelled else os.path.normpath(path.lstrip("/"))
        return None if inside == ".." or inside.startswith("../") else inside


def near_match(path: str, exists: Callable[[str], bool], folders: list[str]) -> str | None:
    """A path that an archive has and that ends as `path` does, or lies as `path` does under one of `folders`.

    Args: exists, whether the archive has a path; folders, the names of its topmost folders.
    Returns: the longest such path, or None: what to show to someone whose prefix is wrong.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    tails = ["/".join(parts[first:]) for first in range(len(parts))]
    candidates = [f"{folder}/{tails[0]}" for folder in folders if tails] + tails
    return next((candidate for candidate in candidates if exists(candidate)), None)
