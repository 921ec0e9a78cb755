"""One index of several: archives laid over each other, each in a folder, or from one of their folders on. Pure.

Records keep their shards and are numbered over all of them, in the order of the layers. The tree is merged level by
level with numpy; only names of directories that several layers have are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ffrfs.errors import FormatError
from ffrfs.format.index import ROOT_INODE, Index, build_index
from ffrfs.format.records import Records
from ffrfs.format.tree import Tree

__all__ = ["Layer", "merge_layers"]

_MAX_RECORDS = int(np.iinfo(np.int32).max)


@dataclass(frozen=True, slots=True)
class Layer:
    """An index in a view: `inode`, the directory that is shown; `folder`, the name under which, empty for the root."""

    index: Index
    inode: int = ROOT_INODE
    folder: bytes = b""


class _Frontier(NamedTuple):
    """Directories to be entered, all of one depth: of which layer, which directory there, its number in the view."""

    layers: NDArray[np.int64]
    directories: NDArray[np.int64]
    numbers: NDArray[np.int64]


class _Entries(NamedTuple):
    """Entries of directories: layer and row there, record number there, number in the view of the directory above."""

    layers: NDArray[np.int64]
    rows: NDArray[np.int64]
    records: NDArray[np.int64]
    owners: NDArray[np.int64]

    def chosen(self, which: NDArray[np.int64]) -> _Entries:
        return _Entries(*(column[which] for column in self))


def merge_layers(path: str, layers: Sequence[Layer]) -> Index:
    """The index of a view.

    Args: path, the view in errors; layers, of which a later one wins: its files hide what has their names, its
    directories are merged with directories, and hide files.
    Raises: FormatError if there are more records than can be numbered, or a folder has a name that cannot be.
    Cost: some µs an entry, no I/O.
    """
    records = _join_records([layer.index.records for layer in layers])
    if len(records) > _MAX_RECORDS:
        raise FormatError(path, f"its archives have {len(records)} records, more than {_MAX_RECORDS}")
    merged = build_index(path, _merge_trees(layers), records)
    return merged.with_chunks_of([layer.index for layer in layers])


def _join_records(parts: Sequence[Records]) -> Records:
    """The records of all, one archive after the other."""
    before = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    first = [records.first[:-1] + begin for records, begin in zip(parts, before, strict=False)]
    return Records(
        np.concatenate([records.offsets for records in parts]),
        np.concatenate([records.lengths for records in parts]),
        np.concatenate([records.checksums for records in parts]),
        np.concatenate([*first, before[-1:]]),
    )


def _merge_trees(layers: Sequence[Layer]) -> Tree:
    folders = [layer.folder for layer in layers if layer.folder]
    texts = [layer.index.arrays["names"] for layer in layers]
    text_before = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    records_before = np.cumsum([0, *(len(layer.index.records) for layer in layers)], dtype=np.int64)
    # First the folders that layers are shown in, which are in none of the indexes.
    lengths = np.array([len(folder) for folder in folders], np.int64)
    starts = text_before[-1] + np.cumsum(lengths) - lengths
    columns = [(np.zeros(len(folders), np.int64), starts, lengths, -2 - np.arange(len(folders)))]
    count = 1 + len(folders)
    frontier = _top(layers)
    while len(frontier.layers):
        entries, group, is_open = _visible(layers, frontier, _children(layers, frontier))
        winners = entries.chosen(np.flatnonzero(np.diff(group, prepend=-1)))
        is_directory = winners.records < 0
        numbers = count - 1 + np.cumsum(is_directory)
        records = np.where(is_directory, -1 - numbers, winners.records + records_before[winners.layers])
        starts = _column(layers, winners, "name_starts")
        lengths = _column(layers, winners, "name_starts", 1) - starts
        columns.append((winners.owners, starts + text_before[winners.layers], lengths, records))
        count += int(is_directory.sum())
        frontier = _Frontier(entries.layers[is_open], -1 - entries.records[is_open], numbers[group[is_open]])
    owner, starts, lengths, records = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    text = np.concatenate([*texts, np.frombuffer(b"".join(folders), np.uint8)])
    return Tree(owner.astype(np.int32), text, starts, lengths.astype(np.int32), records.astype(np.int32), count)


def _top(layers: Sequence[Layer]) -> _Frontier:
    directories = [-1 - layer.index.record(layer.inode) for layer in layers]
    numbers, folders = [], 0
    for layer in layers:
        folders += bool(layer.folder)
        numbers.append(folders if layer.folder else 0)
    return _Frontier(np.arange(len(layers)), np.array(directories, np.int64), np.array(numbers, np.int64))


def _children(layers: Sequence[Layer], frontier: _Frontier) -> _Entries:
    """All entries of the directories, whether they will be seen or not."""
    parts = []
    for number, layer in enumerate(layers):
        arrays, mine = layer.index.arrays, frontier.layers == number
        directories = frontier.directories[mine]
        begins = arrays["child_starts"][directories].astype(np.int64)
        counts = arrays["child_starts"][directories + 1] - begins
        owners = np.repeat(frontier.numbers[mine], counts)
        rows = np.arange(len(owners)) + np.repeat(begins - np.cumsum(counts) + counts, counts)
        parts.append((np.full(len(rows), number), rows, arrays["record_numbers"][rows].astype(np.int64), owners))
    return _Entries(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _visible(
    layers: Sequence[Layer], frontier: _Frontier, entries: _Entries
) -> tuple[_Entries, NDArray[np.int64], NDArray[np.bool_]]:
    """Which entries are seen.

    Returns: the entries, those of one path behind each other, the last layer's, which is seen, first; the number of
    each one's path, ascending from 0; whether it is a directory that can be looked into, having no file above it.
    """
    paths = _paths(layers, frontier, entries)
    order = np.lexsort((-entries.layers, paths))
    entries, paths = entries.chosen(order), paths[order]
    begins = np.diff(paths, prepend=-1) != 0
    group = np.cumsum(begins) - 1
    is_file = entries.records >= 0
    files = np.cumsum(is_file)
    files_before: NDArray[np.int64] = (files - is_file)[begins][group]
    return entries, group, files == files_before


def _paths(layers: Sequence[Layer], frontier: _Frontier, entries: _Entries) -> NDArray[np.int64]:
    """A number for each entry's path, the same for the same path: the position of one of the entries that have it."""
    paths = np.arange(len(entries.rows))
    numbers, counts = np.unique(frontier.numbers, return_counts=True)
    shared = np.flatnonzero(np.isin(entries.owners, numbers[counts > 1]))
    first: dict[tuple[int, bytes], int] = {}
    for at, layer, row, _, owner in zip(shared.tolist(), *(column[shared].tolist() for column in entries), strict=True):
        paths[at] = first.setdefault((owner, layers[layer].index.name(row + 1)), at)
    return paths


def _column(layers: Sequence[Layer], entries: _Entries, name: str, offset: int = 0) -> NDArray[np.int64]:
    """What an array of the index has at each entry's row plus offset."""
    column = np.empty(len(entries.rows), np.int64)
    for number, layer in enumerate(layers):
        mine = entries.layers == number
        column[mine] = layer.index.arrays[name][entries.rows[mine] + offset]
    return column
