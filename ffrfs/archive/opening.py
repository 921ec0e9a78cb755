"""From the files of an archive to its index: mapped from the index file if there is a good one, else built."""

from __future__ import annotations

import warnings

from ffrfs.archive.index_file import find_index_file, load_index_file, save_index_file
from ffrfs.archive.one_archive import check_index, check_records, is_tree, read_tree
from ffrfs.archive.shards import Shards
from ffrfs.errors import ChecksumError, FormatError
from ffrfs.format.index import Index, build_index
from ffrfs.format.records import Records
from ffrfs.format.tree import numbered_tree

__all__ = ["KEEP_ROWS", "build", "build_and_keep", "is_packed_folder", "load_index", "load_records"]

# Below this many rows building takes milliseconds, and a file beside the archive would be litter.
KEEP_ROWS = 10_000


def load_index(shards: Shards, check: bool = True) -> Index:
    """The index of an open archive; an archive without a tree is one directory of numbered files.

    Args: check, whether checksums of header and tree must be right; if not, a wrong one is warned of.
    Raises: FormatError, TruncatedError, ChecksumError if header or tree are wrong, FormatError if the files are not the
    shards of one archive. A large index that had to be built is kept in a file, if there is a place for one.
    """
    found = find_index_file(shards)
    if found is not None:
        return found[1]
    try:
        index, path = build_and_keep(shards)
    except (FormatError, ChecksumError) as error:
        if check:
            raise
        index = build(shards, check=False)  # raises again if it is more than a checksum
        _warn(error)
        return index
    kept = load_index_file(path, shards) if path is not None else None  # the same, but mapped, so that all share it
    return kept if kept is not None else index


def build_and_keep(shards: Shards) -> tuple[Index, str | None]:
    """Build the index and, if it is a large one, keep it in a file. Returns: the index, and the file's path or None.

    Raises as `load_index`.
    """
    index = build(shards)
    return index, save_index_file(index, shards) if len(index) >= KEEP_ROWS else None


def load_records(shards: Shards, check: bool = True) -> Records:
    """The record list alone, for readers that need no names. Args, raises: as `load_index`."""
    found = find_index_file(shards)
    if found is not None:
        return found[1].records
    try:
        records = _records(shards)
    except FormatError as error:
        if check:
            raise
        records = _records(shards, check=False)
        _warn(error)
    check_records(shards, records)
    return records


def build(shards: Shards, check: bool = True) -> Index:
    """Build the index from the archive itself, whatever is kept. Raises as `load_index`."""
    records = _records(shards, check)
    last = len(records) - 1
    tree = read_tree(shards, records, last, check) if is_tree(shards, records, last) else numbered_tree(len(records))
    index = build_index(shards.path, tree, records)
    check_index(shards, index)
    return index


def is_packed_folder(shards: Shards, records: Records) -> bool:
    """Whether the last record is a tree."""
    return is_tree(shards, records, len(records) - 1)


def _records(shards: Shards, check: bool = True) -> Records:
    return Records.of_headers([shards.header(shard, check) for shard in range(len(shards.paths))])


def _warn(error: FormatError | ChecksumError) -> None:
    warnings.warn(f"{error}; it is read all the same, since check_data is False", stacklevel=4)
