"""Packing archives of other kinds: their files, in their order, with their names, without unpacking them to disk.

A source is read twice: once for names and sizes, which the header and the tree need, and once for the contents. Threads
read the contents ahead, while the caller's thread writes them in order.
"""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import NamedTuple

from ffrfs.errors import PackError, printable
from ffrfs.format.chunks import CHUNK_BYTES, chunk_checksums, combine_chunks, packed_chunks
from ffrfs.format.header import crc32
from ffrfs.pack.name_tree import NameTree
from ffrfs.pack.pack import DEFAULT_JOBS, Packed, check_options, check_output
from ffrfs.pack.progress import Progress, Tally
from ffrfs.pack.shards import new_shards, split_evenly, split_to_size
from ffrfs.pack.sources.member import DIRECTORY, Member, Source, Symlinks
from ffrfs.pack.sources.opening import expand_shards, main_file, open_source
from ffrfs.pack.writer import FileWriter
from ffrfs.sources.opening import absolute

__all__ = ["pack_sources"]

_PIECE_BYTES = 2 << 20
_PIECE_FILES = 32
_CHANGED = "it changed while it was packed; nothing was written"


class _File(NamedTuple):
    source: Source
    member: Member


@dataclass(slots=True)
class _Contents:
    """What the sources hold: their files, and the tree of names, in which a file's number is its place in the list."""

    files: list[_File] = field(default_factory=list)
    tree: NameTree = field(default_factory=NameTree)


def pack_sources(
    sources: Sequence[str | os.PathLike[str]],
    out_file: str | os.PathLike[str],
    verbose: bool = False,
    *,
    symlinks: Symlinks = "follow",
    jobs: int | None = None,
    shards: int | None = None,
    shard_bytes: int | None = None,
    progress: Progress | None = None,
) -> Packed:
    """Pack archives of other kinds: tar (also WebDataset's shards), zip, LMDB, TFRecord, parquet files of images.

    Records are in the order of the sources; those without a name get their number as one.
    Args: sources, paths, or patterns such as `shards-{000..127}.tar`, whose files come into one tree; symlinks, `skip`
    leaves them out, else they are an error; the others as for `pack_folder`, jobs being threads that read.
    Raises: PackError for what cannot be a file, or is there twice, naming it; ConfigError; OSError with the path.
    Memory: some 300 bytes for each file, 2 MiB for each job.
    """
    out = absolute(out_file)
    sharded = shards is not None or shard_bytes is not None
    check_options(symlinks, jobs, shards, shard_bytes, None)
    check_output(out, sharded)
    paths = [path for pattern in sources for path in expand_shards(os.fspath(pattern))]
    before = [_version(path) for path in paths]
    with ExitStack() as opened:
        contents = _scan([opened.enter_context(closing(open_source(path, symlinks))) for path in paths])
        sizes = array("q", (file.member.size_bytes for file in contents.files))
        tally = Tally(progress, len(sizes), sum(sizes))
        record = contents.tree.record()

        chunks = bytearray()

        def write(out_file: str, begin: int, end: int, last: bool) -> None:
            files = contents.files[begin:end]
            with FileWriter(out_file, len(files) + last) as writer:
                chunks.extend(_copy(files, writer, jobs or DEFAULT_JOBS, verbose, tally))
                if last:
                    writer.write_one(record)
                    chunks.extend(packed_chunks(chunk_checksums(record)))
                    _check_unchanged(paths, before)

        if not sharded:
            write(out, 0, len(sizes), True)
            archives = [out]
        else:
            all_sizes = sizes + array("q", [len(record)])
            ends = split_evenly(all_sizes, shards) if shards else split_to_size(all_sizes, shard_bytes or 0)
            archives = _write_shards(out, ends, write)
    return Packed(len(sizes), sum(sizes), archives, bytes(chunks))


def _write_shards(folder: str, ends: list[int], write: Callable[[str, int, int, bool], None]) -> list[str]:
    """Write the shards one after the other; returns their paths."""
    with new_shards(folder, len(ends)) as out_files:
        for out_file, begin, end in zip(out_files, [0, *ends], ends, strict=False):
            last = end == ends[-1]
            write(out_file, begin, end - last, last)
    return [os.path.join(folder, os.path.basename(out_file)) for out_file in out_files]


def _version(path: str) -> tuple[int, int, int]:
    status = os.stat(main_file(path))
    return status.st_ino, status.st_size, status.st_mtime_ns


def _check_unchanged(paths: list[str], before: list[tuple[int, int, int]]) -> None:
    for path, version in zip(paths, before, strict=True):
        if _version(path) != version:
            raise PackError(path, _CHANGED)


def _scan(sources: list[Source]) -> _Contents:
    """Raises: PackError for a name that cannot be, or is there twice."""
    contents = _Contents()
    unnamed: list[tuple[int, Member, Source]] = []
    for source in sources:
        for member in source.members():
            if member.size_bytes == DIRECTORY:
                contents.tree.add_directory(member.name or b"", source.path)
                continue
            if member.name is None:
                unnamed.append((len(contents.files), member, source))
            else:
                contents.tree.add_file(member.name, len(contents.files), source.path)
            contents.files.append(_File(source, member))
    width = len(str(max(len(contents.files) - 1, 0)))
    counts: dict[bytes, int] = {}
    for record, member, source in unnamed:
        number = counts[member.folder] = counts.get(member.folder, -1) + 1
        contents.tree.add_file(b"%s%0*d" % (member.folder, width, number), record, source.path)
    return contents


def _copy(files: list[_File], writer: FileWriter, jobs: int, verbose: bool, tally: Tally) -> bytes:
    """Write each file as a record. Returns: the CRC32s of the chunks of all files over 1 MiB, as an index has them."""
    kept = bytearray()
    for piece, parts in _read_ahead(files, jobs):
        for file, data in zip(piece, parts, strict=True):
            size, checksums = 0, []
            for chunk in _chunks(data):
                checksums.append(crc32(chunk))
                writer.put(chunk)
                size += len(chunk)
            if size != file.member.size_bytes:
                raise PackError(file.source.path, _CHANGED)
            writer.end_record(size, combine_chunks(checksums, size))
            kept += packed_chunks(checksums)
            tally.add(1, size)
            if verbose:
                name = file.member.name if file.member.name is not None else b"(numbered)"
                print(f"{printable(file.source.path)}: {printable(name)}", flush=True)
    return bytes(kept)


def _chunks(parts: Iterable[memoryview]) -> Iterator[memoryview]:
    """The same bytes in chunks, the last of which may be shorter; of a file without bytes none."""
    rest = bytearray()
    for part in parts:
        while len(part):
            if not rest and len(part) >= CHUNK_BYTES:
                yield part[:CHUNK_BYTES]
                part = part[CHUNK_BYTES:]
                continue
            room = CHUNK_BYTES - len(rest)
            rest += part[:room]
            part = part[room:]
            if len(rest) == CHUNK_BYTES:
                yield memoryview(rest)
                rest = bytearray()
    if rest:
        yield memoryview(rest)


_Parts = list[Iterator[memoryview]]


def _read_ahead(files: list[_File], jobs: int) -> Iterator[tuple[list[_File], _Parts]]:
    """Yield pieces in order, each with the contents of its files. Small files are read by threads, a large one part by
    part by whoever takes them."""
    threads = 1 if any(file.source.ordered for file in files) else jobs
    waiting: deque[tuple[list[_File], Future[list[bytes]]]] = deque()
    with ThreadPoolExecutor(threads, "ffrfs-pack") as pool:
        try:
            for piece in _pieces(files):
                if piece[0].member.size_bytes <= _PIECE_BYTES:
                    waiting.append((piece, pool.submit(_read_piece, piece)))
                    if len(waiting) > threads:
                        yield _done(*waiting.popleft())
                    continue
                while waiting:
                    yield _done(*waiting.popleft())
                yield piece, [map(_bytes_of, piece[0].source.read(piece[0].member))]
            while waiting:
                yield _done(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()


def _done(piece: list[_File], future: Future[list[bytes]]) -> tuple[list[_File], _Parts]:
    return piece, [iter([memoryview(data)]) for data in future.result()]


def _read_piece(piece: list[_File]) -> list[bytes]:
    return [b"".join(map(_bytes_of, file.source.read(file.member))) for file in piece]


def _bytes_of(part: object) -> memoryview:
    return memoryview(part).cast("B")  # type: ignore[arg-type]


def _pieces(files: list[_File]) -> Iterator[list[_File]]:
    """Small files to be read by one thread in one go; a large file is a piece of its own."""
    piece: list[_File] = []
    piece_bytes = 0
    for file in files:
        size = file.member.size_bytes
        if piece and (piece_bytes + size > _PIECE_BYTES or len(piece) == _PIECE_FILES):
            yield piece
            piece, piece_bytes = [], 0
        piece.append(file)
        piece_bytes += size
    if piece:
        yield piece
