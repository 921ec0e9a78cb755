"""Which kind of archive a path is, by its contents, and which paths a pattern of shards means."""

from __future__ import annotations

import contextlib
import os
import re
import tarfile

from ffrfs.errors import ConfigError, PackError
from ffrfs.pack.sources.lmdb import LmdbSource
from ffrfs.pack.sources.member import Source, Symlinks
from ffrfs.pack.sources.parquet import ParquetSource
from ffrfs.pack.sources.tar import TarSource
from ffrfs.pack.sources.tfrecord import TfRecordSource
from ffrfs.pack.sources.zip import ZipSource

__all__ = ["expand_shards", "is_plain_folder", "main_file", "open_source"]

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_LMDB_MAGIC, _LMDB_MAGIC_AT = b"\xde\xc0\xef\xbe", 16
_LMDB_FILE = "data.mdb"  # in an environment's folder
_GZIP_MAGIC = b"\x1f\x8b"


def expand_shards(pattern: str) -> list[str]:
    """The paths that a pattern such as `shards-{000..127}.tar` means, as WebDataset writes it; else the path itself."""
    match = _RANGE.search(pattern)
    if match is None or os.path.exists(pattern):
        return [pattern]
    width = max(len(match[1]), len(match[2])) if match[1].startswith("0") else 0
    numbers = range(int(match[1]), int(match[2]) + 1)
    paths = (f"{pattern[: match.start()]}{number:0{width}d}{pattern[match.end() :]}" for number in numbers)
    return [path for shard in paths for path in expand_shards(shard)]


def main_file(path: str) -> str:
    """The file that changes when the source does: the source itself, or the one in an LMDB environment's folder."""
    return os.path.join(path, _LMDB_FILE) if os.path.isdir(path) and not is_plain_folder(path) else path


def is_plain_folder(path: str) -> bool:
    """Whether this is a folder of files, to be packed as such."""
    return os.path.isdir(path) and not os.path.exists(os.path.join(path, _LMDB_FILE))


def open_source(path: str, symlinks: Symlinks) -> Source:
    """Open an archive of another kind. Raises: PackError if it is of none; ConfigError; OSError."""
    if os.path.isdir(path):
        if is_plain_folder(path):
            raise ConfigError(f"{path} is a folder of files; pack it alone, or make one folder of all")
        return LmdbSource(path)
    with open(path, "rb") as file:
        magic = file.read(_LMDB_MAGIC_AT + len(_LMDB_MAGIC))
    if magic.startswith(b"PAR1"):
        return ParquetSource(path)
    if magic.startswith(_ZIP_MAGICS):
        return ZipSource(path, symlinks)
    if magic[_LMDB_MAGIC_AT:] == _LMDB_MAGIC:
        return LmdbSource(path)
    if "tfrecord" in os.path.basename(path) and magic.startswith(_GZIP_MAGIC):
        raise PackError(path, "it is compressed, and its records cannot be found without gunzip; decompress it first")
    with contextlib.suppress(ConfigError):  # without the package, only what is called so is taken for one
        records = TfRecordSource(path)
        if records.begins_well():
            return records
        records.close()
    if ".tfrecord" in os.path.basename(path):
        return TfRecordSource(path)
    if not tarfile.is_tarfile(path):
        raise PackError(path, "it is neither a folder nor a tar, zip, LMDB, TFRecord or parquet file")
    return TarSource(path, symlinks)
