"""The tree of a packed folder in the order in which it was packed; the index has it in the order of names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Union

import numpy as np

from ffrfs.format.index import Index
from ffrfs.format.names import decode_name
from ffrfs.format.tree import Tree

__all__ = ["Structure", "in_name_order", "nested"]

Structure = OrderedDict[str, Union[int, "Structure"]]


def nested(tree: Tree) -> Structure:
    """The tree as the reference unpickles it: names to record numbers, or to the same for folders."""
    folders: list[Structure] = [OrderedDict() for _ in range(tree.directories)]
    text = tree.text.tobytes()
    columns = (tree.owner.tolist(), tree.starts.tolist(), tree.lengths.tolist(), tree.records.tolist())
    for owner, start, length, record in zip(*columns, strict=True):
        name = decode_name(text[start : start + length])
        folders[owner][name] = record if record >= 0 else folders[-1 - record]
    return folders[0]


def in_name_order(index: Index, children: Sequence[int]) -> bool:
    """Whether a folder was packed in the order of names, as the reference and this package do it.

    Files are numbered in the order of the tree, and so are folders; a folder stands where its first file does.
    Args: children, the inodes in the folder, in the order of names.
    """
    if not children:
        return True
    numbers = index.arrays["record_numbers"][children[0] - 1 : children[-1]].astype(np.int64)
    folders = np.flatnonzero(numbers < 0)
    if (np.diff(numbers[folders]) > 0).any():
        return False
    for position in folders.tolist():
        first = index.children(children[position])[:1]
        numbers[position] = index.record(first[0]) if first else -1
    return bool((np.diff(numbers[numbers >= 0]) > 0).all())
