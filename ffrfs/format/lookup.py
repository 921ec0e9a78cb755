"""The columns of an index by which a name is found, computed from its names. Pure; numpy only.

The names in a directory are sorted, so a name is found by bisection. To bisect numbers, and not names, each row has a
key: the eight bytes of its name that follow what all names of the directory begin with, as a big-endian number, filled
up with zeros. Names with the same key are neighbours. Everything here is a function of the names, so that an index can
be checked by computing it again.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KEY_BYTES", "lookup_keys", "name_words", "shared_prefixes"]

KEY_BYTES = 8
# A word with its first k bytes kept, by k.
_MASKS = np.array([((1 << 8 * k) - 1) << 8 * (KEY_BYTES - k) for k in range(KEY_BYTES + 1)], np.uint64)
_MAX_WORDS = 32  # of a name


def name_words(text: NDArray[np.uint8], starts: NDArray[Any], lengths: NDArray[Any], skip: Any) -> NDArray[np.uint64]:
    """The eight bytes of each name from its byte `skip` on, as big-endian numbers, zeros where the name has ended.

    Args: text, the names' bytes; starts, lengths, skip, by name, in bytes; 0 <= skip. Returns: shape (names,).
    """
    if len(text) < KEY_BYTES:
        text = np.concatenate([text, np.zeros(KEY_BYTES, np.uint8)])
    at = starts + skip
    last = len(text) - KEY_BYTES
    from_here: NDArray[np.uint64] = np.ndarray((last + 1,), np.uint64, text, strides=(1,))  # a word at every byte
    beyond = int(at.max(initial=0)) > last
    words: NDArray[np.uint64] = from_here[np.minimum(at, last) if beyond else at]
    if sys.byteorder == "little":
        words.byteswap(inplace=True)
    if beyond:
        words <<= (8 * np.clip(at - last, 0, KEY_BYTES - 1)).astype(np.uint64)
    left = lengths - skip
    if int(left.min(initial=KEY_BYTES)) < KEY_BYTES:
        words &= _MASKS[np.clip(left, 0, KEY_BYTES)]
    return words


def shared_prefixes(
    names: NDArray[np.uint8], name_starts: NDArray[np.int64], child_starts: NDArray[Any]
) -> NDArray[np.uint8]:
    """With how many bytes all names of each directory begin, shape (directories,); 0 with less than two names.

    Args: as the arrays of an index; the names of a directory are sorted, so its first and its last tell.
    """
    begins, ends = child_starts[:-1].astype(np.int64), child_starts[1:].astype(np.int64)
    prefixes = np.zeros(len(begins), np.uint8)
    waiting = np.flatnonzero(ends - begins > 1)
    for skip in range(0, _MAX_WORDS * KEY_BYTES, KEY_BYTES):
        if not len(waiting):
            break
        first, last = begins[waiting], ends[waiting] - 1
        different = _row_words(names, name_starts, first, skip) ^ _row_words(names, name_starts, last, skip)
        ended = np.flatnonzero(different)
        prefixes[waiting[ended]] = skip + _leading_zero_bytes(different[ended])
        waiting = waiting[different == 0]
    return prefixes


def lookup_keys(
    names: NDArray[np.uint8], name_starts: NDArray[np.int64], prefixes: NDArray[np.uint8]
) -> NDArray[np.uint64]:
    """The keys of some rows, shape (rows,). Args: name_starts, shape (rows + 1,); prefixes, of each row's directory."""
    return name_words(names, name_starts[:-1], np.diff(name_starts), prefixes.astype(np.int64))


def _row_words(names: NDArray[np.uint8], name_starts: NDArray[np.int64], rows: NDArray[np.int64], skip: int) -> Any:
    starts = name_starts[rows]
    return name_words(names, starts, name_starts[rows + 1] - starts, skip)


def _leading_zero_bytes(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """How many bytes of each word, which is not 0, are zero before the first that is not."""
    limits = np.array([1 << 8 * (KEY_BYTES - k) for k in range(1, KEY_BYTES)], np.uint64)
    count: NDArray[np.uint8] = np.sum(words[:, None] < limits, axis=1, dtype=np.uint8)
    return count
