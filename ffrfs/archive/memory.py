"""Memory for records, used again: fresh pages cost about as much as copying the bytes into them does.

Any thread may call it, and forked children.
"""

from __future__ import annotations

import weakref
from collections import defaultdict, deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["RecordMemory"]

Bytes = NDArray[np.uint8]

_LEAST_BYTES = 1 << 16  # below this the C library's allocator has pages at hand
_MOST_BYTES = 1 << 22  # from here on numpy takes large pages, which are quick to come by
_STEP_BYTES = 1 << 12  # sizes are rounded up to a multiple
_KEPT_BYTES = 1 << 26


class RecordMemory:
    """Lends arrays, and lends their memory again once nobody has the array or a view of it.

    Each array has memory of its own, so that one that is kept holds nothing but itself.
    """

    def __init__(self) -> None:
        self._lent: defaultdict[int, deque[tuple[Bytes, weakref.ref[Bytes]]]] = defaultdict(deque)
        self._bytes = 0  # of what is in there; threads may miscount a little, which does no harm

    def take(self, length_bytes: int) -> Bytes:
        """An array of this many bytes, whatever is in them."""
        if not _LEAST_BYTES <= length_bytes < _MOST_BYTES:
            return np.empty(length_bytes, np.uint8)
        size = (length_bytes + _STEP_BYTES - 1) & -_STEP_BYTES
        lent = self._lent[size]
        memory = self._free(lent, size)
        # Through a memoryview, so that views hold this array and not the memory itself: its end is theirs.
        array = np.frombuffer(memory.data, np.uint8, length_bytes)
        if self._bytes < _KEPT_BYTES:
            lent.append((memory, weakref.ref(array)))
            self._bytes += size
        return array

    def _free(self, lent: deque[tuple[Bytes, weakref.ref[Bytes]]], size: int) -> Bytes:
        """Memory that has come back; else new. Only the one lent longest ago is looked at."""
        try:
            memory, array = lent.popleft()
        except IndexError:
            return np.empty(size, np.uint8)
        if array() is None:
            self._bytes -= size
            return memory
        if self._bytes < _KEPT_BYTES:
            lent.append((memory, array))
        else:
            self._bytes -= size  # it is its holder's from now on
        return np.empty(size, np.uint8)
