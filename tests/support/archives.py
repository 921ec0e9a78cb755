"""Archives made byte by byte, independently of `ffrfs.archive`, so that tests can also make wrong ones."""

from __future__ import annotations

import os
import pickle
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Union

TREE_MAGIC = b"piouhjgbr"

# A directory: name -> contents of a file, or a directory.
Directory = Mapping[bytes, Union[bytes, "Directory"]]


def archive_of(records: Iterable[bytes]) -> bytes:
    """The bytes of an archive with these records."""
    records = list(records)
    n = len(records)
    offsets, end = [], 12 + 12 * n
    for record in records:
        offsets.append(end)
        end += len(record)
    header = struct.pack(f"<q{n}I{n}q", n, *map(zlib.crc32, records), *offsets)
    return struct.pack("<I", zlib.crc32(header)) + header + b"".join(records)


def tree_record(tree: object, protocol: int = 4) -> bytes:
    """The metadata record for a tree of nested `OrderedDict`s."""
    return TREE_MAGIC + pickle.dumps(tree, protocol)


def packed_folder(tree: Directory) -> bytes:
    """The bytes of the archive that packs a tree given as nested mappings."""
    records: list[bytes] = []
    names = _numbered(tree, records)
    return archive_of([*records, tree_record(names)])


def _numbered(tree: Directory, records: list[bytes]) -> OrderedDict[str, object]:
    names: OrderedDict[str, object] = OrderedDict()
    for name, content in sorted(tree.items(), key=lambda entry: os.fsdecode(entry[0])):
        if isinstance(content, bytes):
            names[os.fsdecode(name)] = len(records)
            records.append(content)
        else:
            names[os.fsdecode(name)] = _numbered(content, records)
    return names


def write_archive(path: Path, tree: Directory) -> Path:
    """Write the archive of a tree; returns its path."""
    path.write_bytes(packed_folder(tree))
    return path


def write_tree(folder: Path, tree: Directory) -> Path:
    """Write the tree itself as a real folder; returns its path."""
    folder.mkdir()
    for name, content in tree.items():
        child = folder / os.fsdecode(name)
        if isinstance(content, bytes):
            child.write_bytes(content)
        else:
            write_tree(child, content)
    return folder


def files_of(tree: Directory, above: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """Path and contents of every file of a tree."""
    for name, content in tree.items():
        if isinstance(content, bytes):
            yield above + name, content
        else:
            yield from files_of(content, above + name + b"/")
