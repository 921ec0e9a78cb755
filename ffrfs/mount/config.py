"""The configuration file of one mount, `/etc/ffrfs/NAME.toml`: what `ffrfs mount --config` and the service read.

It only says what the command line could say, in words that outlive a shell: see systemd/example.toml. No I/O but
reading the file and looking whether the archive is there.
"""

from __future__ import annotations

import os
import reprlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffrfs.errors import ConfigError, MountError
from ffrfs.mount.options import MountOptions, parse_options
from ffrfs.sources.opening import is_url

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["MountConfig", "read_config"]

_MAX_BYTES = 1 << 20
_KEYS = ("archive", "mountpoint", "options")


@dataclass(frozen=True)
class MountConfig:
    """One mount: the file it is configured in, the archive (a file, a folder of shards or a URL), mount point and
    options."""

    source: Path
    archive: str
    mountpoint: str
    options: MountOptions

    def require_archive(self) -> None:
        """Make sure that the archive is there.

        Raises: ConfigError if its folder holds other files but not this one, so that the name must be wrong;
            MountError if the folder itself is missing or empty, as it is before its storage is mounted: the one
            case in which starting again later helps, and the exit status tells systemd so.
        """
        if is_url(self.archive) or os.path.lexists(self.archive):
            return
        folder = os.path.dirname(self.archive.rstrip("/"))
        try:
            storage_is_there = bool(os.listdir(folder))
        except OSError:
            storage_is_there = False
        if storage_is_there:
            raise ConfigError(f"{self.source}: archive: there is no {self.archive}; correct the path")
        raise MountError(
            f"{self.source}: archive: there is no {self.archive}, and {folder} is missing or empty; mount its storage"
        )


def read_config(path: str | os.PathLike[str]) -> MountConfig:
    """Read and check one configuration file.

    Raises: ConfigError, naming the file and the key, if the file cannot be read, is not TOML, has a key that is not
        known, lacks one that is needed, or gives one a wrong type or an option that does not exist.
    """
    source = Path(path)
    table = _load(source)
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise ConfigError(f"{source}: {unknown[0]}: unknown key; the keys are {', '.join(_KEYS)}")
    return MountConfig(
        source=source,
        archive=_archive(source, table),
        mountpoint=_absolute_path(source, table, "mountpoint"),
        options=_options(source, table, "options"),
    )


def _load(source: Path) -> dict[str, Any]:
    try:
        with source.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}; systemd/example.toml shows one") from error
    if len(text) > _MAX_BYTES:
        raise ConfigError(f"{source}: longer than {_MAX_BYTES >> 20} MiB, so no configuration file; name another")
    try:
        return tomllib.loads(text.decode("utf-8"))
    except RecursionError:
        raise ConfigError(f"{source}: not TOML that is understood: it is nested too deep") from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are, and what int() says of many digits
        raise ConfigError(f"{source}: not TOML: {error}") from error


def _archive(source: Path, table: dict[str, Any]) -> str:
    archive = table.get("archive")
    return archive if isinstance(archive, str) and is_url(archive) else _absolute_path(source, table, "archive")


def _absolute_path(source: Path, table: dict[str, Any], key: str) -> str:
    path = table.get(key)
    if path is None:
        raise ConfigError(f"{source}: {key}: missing; give an absolute path")
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise ConfigError(f"{source}: {key}: must be an absolute path in quotes, not {reprlib.repr(path)}")
    return path


def _options(source: Path, table: dict[str, Any], key: str) -> MountOptions:
    words = table.get(key, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ConfigError(
            f'{source}: {key}: must be a list of words such as ["allow_other", "uid=1000"], not {reprlib.repr(words)}'
        )
    try:
        return parse_options(words)
    except ConfigError as error:
        raise ConfigError(f"{source}: {key}: {error}") from error
