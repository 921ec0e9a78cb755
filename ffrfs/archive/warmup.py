"""Having an archive, or files of it, in the node's cache before they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from ffrfs.archive.shards import Shards
from ffrfs.format.index import Index
from ffrfs.format.records import Extent

__all__ = ["Progress", "warm_up"]

Progress = Callable[[int, int, int, int], None]  # files done, bytes done, files in all, bytes in all

_PIECE_BYTES = 1 << 23


def warm_up(
    shards: Shards, index: Index, inodes: Sequence[int] | None, jobs: int, progress: Progress | None = None
) -> int:
    """Fetch what the cache does not have yet.

    Args: inodes, files in the order in which they will be read, None: everything; jobs, requests at a time; progress,
    called with (0, bytes done, 0, bytes in all). Returns: how many bytes were fetched; less than all where the cache
    is full. Raises: OSError, ChangedError.
    """
    pieces = list(_all_pieces(shards) if inodes is None else _pieces_of(index, inodes))
    total_bytes = sum(length for _, _, length in pieces)
    fetched_bytes = done_bytes = 0
    with ThreadPoolExecutor(jobs, "ffrfs-warmup") as pool:
        waiting = iter(pieces)
        # map would submit everything at once; a window bounds what waits, and keeps the order.
        while window := list(islice(waiting, 16 * jobs)):
            results = pool.map(lambda piece: shards.sources[piece[0]].warm(piece[1], piece[2]), window)
            for (_, _, length), count in zip(window, results, strict=True):
                fetched_bytes += count
                done_bytes += length
                if progress is not None:
                    progress(0, done_bytes, 0, total_bytes)
    return fetched_bytes


def _all_pieces(shards: Shards) -> Iterator[tuple[int, int, int]]:
    for shard, size in enumerate(shards.sizes):
        yield from _cut(Extent(shard, 0, size))


def _pieces_of(index: Index, inodes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    for inode in inodes:
        record = index.record(inode)
        if record >= 0:
            yield from _cut(index.records.extent(record))


def _cut(extent: Extent) -> Iterator[tuple[int, int, int]]:
    """Pieces that one request fetches, at the same places whatever they are cut from."""
    shard, offset, length = extent
    end = offset + length
    while offset < end:
        stop = min((offset // _PIECE_BYTES + 1) * _PIECE_BYTES, end)
        yield shard, offset, stop - offset
        offset = stop
