"""Where a cache lies and how large it may be: from mount options, or from the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ffrfs.errors import ConfigError

__all__ = ["CacheOptions", "cache_from_environment", "parse_size"]

_SIZE_DIGITS = 15  # a petabyte
_SIZE = re.compile(r"(\d+)([kmgt]?)(i?b?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """folder, an absolute path; limit_bytes, how much it may hold, None: until a twentieth of its disk is left; forced,
    whether an archive that lies on the same disk is cached too."""

    folder: str
    limit_bytes: int | None = None
    forced: bool = True


def cache_from_environment() -> CacheOptions | None:
    """The cache that FFRFS_CACHE and FFRFS_CACHE_SIZE name, or None. Raises: ConfigError."""
    folder, size = os.environ.get("FFRFS_CACHE"), os.environ.get("FFRFS_CACHE_SIZE")
    if not folder:
        return None
    try:
        return CacheOptions(os.path.abspath(folder), parse_size(size) if size else None, forced=False)
    except ValueError as error:
        raise ConfigError(f"FFRFS_CACHE_SIZE cannot be {size!r}: {error}") from None


def parse_size(text: str) -> int:
    """Bytes from a number with k, M, G or T (powers of 1024). Raises: ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("it is a number of bytes, with k, M, G or T for powers of 1024")
    digits, shift = match[1].lstrip("0") or "0", {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[match[2].lower()]
    if len(digits) > _SIZE_DIGITS:
        raise ValueError("no memory is that large")
    return int(digits) << shift
