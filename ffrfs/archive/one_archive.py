"""Whether several files are the shards of one archive, or archives that lie together: names of one would show contents
of another.

The last record of an archive is its tree of names, and the tree numbers all records before it. So a file that is not
the last, and ends with such a tree, ends an archive; and before a tree that numbers fewer records than there are, lie
files of something else.
"""

from __future__ import annotations

import os

from ffrfs.archive.shards import Shards
from ffrfs.errors import ArchiveError, ChecksumError, FormatError
from ffrfs.format.header import TREE_MAGIC, crc32
from ffrfs.format.index import Index
from ffrfs.format.records import Records
from ffrfs.format.tree import Tree, parse_tree

__all__ = ["check_index", "check_records", "is_tree", "read_tree"]

_MAX_NAMES = 3  # of files in a message


def is_tree(shards: Shards, records: Records, record: int) -> bool:
    """Whether a record begins as a tree does; False for a record of number -1."""
    if record < 0 or records.length(record) <= len(TREE_MAGIC):
        return False
    shard, offset, length = records.extent(record)
    return shards.peek(shard, offset, len(TREE_MAGIC), length) == TREE_MAGIC


def read_tree(shards: Shards, records: Records, record: int, check: bool = True) -> Tree:
    """The tree of names that is this record, and numbers records before it.

    Args: check, whether its checksum must be right.
    Raises: ChecksumError; FormatError if it is no such tree; TruncatedError, OSError.
    """
    shard, offset, length = records.extent(record)
    path = shards.paths[shard]
    blob = bytes(shards.read(shard, offset, length))
    actual, expected = crc32(blob), records.checksum(record)
    if actual != expected and shards.distrust(shard, offset, length):
        blob = bytes(shards.read(shard, offset, length))
        actual = crc32(blob)
    if check and actual != expected:
        raise ChecksumError(
            path,
            f"its tree of names (record {record}, at byte {offset}) has checksum {actual:#010x},"
            f" it should be {expected:#010x}: the archive is damaged there",
            record=record,
            expected=expected,
            actual=actual,
        )
    return parse_tree(path, blob, len(TREE_MAGIC), record, offset)


def check_index(shards: Shards, index: Index) -> None:
    """Raises: FormatError if the files of an index are not the shards of one archive.

    Cost: nothing for a single file; a comparison for a packed folder; else a read from each file.
    """
    if len(shards.paths) == 1 or len(index.records) == 0:
        return
    last = len(index.records) - 1
    if index.inode(last):  # it has a name, and so is not the tree: an archive without one
        _check_ends(shards, index.records)
    elif last > 0 and not index.inode(last - 1):
        numbered = int(index.arrays["record_numbers"].max(initial=-1)) + 1
        raise _not_one(shards, index.records, numbered)


def check_records(shards: Shards, records: Records) -> None:
    """The same for a record list alone. A tree that is damaged is not of interest to who reads by number.

    Raises: FormatError, OSError. Cost: the last file's tree is parsed, if it has one.
    """
    if len(shards.paths) == 1:
        return
    last = len(records) - 1
    if not is_tree(shards, records, last):
        _check_ends(shards, records)
        return
    numbered = _numbered(shards, records, last)
    if numbered is not None and numbered < last:
        raise _not_one(shards, records, numbered)


def _check_ends(shards: Shards, records: Records) -> None:
    """Raises: FormatError if an archive with a tree ends before the last file."""
    begins = set(records.first.tolist())
    for record in _last_records(records):
        if is_tree(shards, records, record):
            numbered = _numbered(shards, records, record)
            if numbered is not None and record - numbered in begins:
                raise _not_one(shards, records, numbered)


def _numbered(shards: Shards, records: Records, record: int) -> int | None:
    """How many records a tree numbers; None if the record is no good tree, but a file that begins as one does."""
    try:
        tree = read_tree(shards, records, record)
    except ArchiveError:
        return None
    return int(tree.records.max(initial=-1)) + 1


def _last_records(records: Records) -> list[int]:
    """The last record of each file that has any."""
    return sorted({end - 1 for end in records.first[1:].tolist()} - {-1})


def _not_one(shards: Shards, records: Records, numbered: int) -> FormatError:
    ends = [record for record in _last_records(records) if is_tree(shards, records, record)]
    names = [os.path.basename(shards.paths[records.shard(record)]) for record in ends]
    if len(names) > 1:
        more = len(names) - _MAX_NAMES
        listed = ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
        problem = f"each of {listed} has a tree of names"
    else:
        problem = f"the tree of names in {names[0]} numbers {numbered} of {len(records)} records"
    return FormatError(
        shards.path,
        f"the files are not the shards of one archive: {problem}; name the archive that is meant, or put each archive"
        " into a folder of its own",
    )
