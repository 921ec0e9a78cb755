"""From files on disk to records of a writer: read ahead in parallel, in bounded memory, whatever the files' sizes.

Files are read in pieces: many small files make one piece, a large file several. Threads read pieces and compute their
checksums, neither of which holds the GIL, while the caller's thread writes them in order.
"""

from __future__ import annotations

import errno
import os
import resource
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from ffrfs.errors import PackError
from ffrfs.format.chunks import chunk_checksums, combine_chunks, packed_chunks
from ffrfs.pack.scan import SourceFile
from ffrfs.pack.writer import FileWriter

__all__ = ["MAX_JOBS", "Piece", "copy_files"]

MAX_JOBS = 32
PIECE_BYTES = 2 << 20  # whole chunks
PIECE_FILES = 32
_CHANGED = "it changed while the folder was packed; nothing was written"
_AHEAD_PIECES = 256
_FILES_PER_WAIT = 8  # fewer waits than one for so many files are noise


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole files, or `length_bytes` of a single one from `offset_bytes` on; `last` if they end there."""

    files: list[SourceFile]
    length_bytes: int
    offset_bytes: int = 0
    last: bool = True


def copy_files(
    files: Iterable[SourceFile],
    writer: FileWriter,
    jobs: int,
    follow: bool,
    written: Callable[[Piece], None] | None = None,
) -> bytes:
    """Write each file as a record.

    Args: jobs, threads that read ahead where storage is slow, at most `MAX_JOBS`; with 1 there are none; follow,
    whether a path may be a symlink; written, called with each piece when it is written, and may raise to end it all.
    Returns: the CRC32s of the chunks of all files over 1 MiB, uint32, little-endian.
    Raises: PackError if a file is not as it was scanned; OSError with the path.
    Memory: 2 * (jobs + 2) MiB.
    """
    kept = bytearray()
    of_file: list[int] = []  # the checksums of the chunks of a large file, so far
    with closing(_read_ahead(_pieces(files), jobs, follow)) as pieces:
        for piece, data, checksums in pieces:
            writer.put(data)
            for file, part in zip(piece.files, checksums, strict=True):
                of_file += part
                if piece.last:
                    writer.end_record(file.size_bytes, combine_chunks(of_file, file.size_bytes))
                    kept += packed_chunks(of_file)
                    of_file = []
            if written is not None:
                written(piece)
    return bytes(kept)


def _pieces(files: Iterable[SourceFile]) -> Iterator[Piece]:
    batch: list[SourceFile] = []
    batch_bytes = 0
    for file in files:
        size = file.size_bytes
        if batch and (batch_bytes + size > PIECE_BYTES or len(batch) == PIECE_FILES):
            yield Piece(batch, batch_bytes)
            batch, batch_bytes = [], 0
        if size > PIECE_BYTES:
            for offset in range(0, size, PIECE_BYTES):
                length = min(PIECE_BYTES, size - offset)
                yield Piece([file], length, offset, offset + length == size)
        else:
            batch.append(file)
            batch_bytes += size
    if batch:
        yield Piece(batch, batch_bytes)


_ReadPiece = tuple[Piece, memoryview, list[list[int]]]


def _read_ahead(pieces: Iterator[Piece], jobs: int, follow: bool) -> Generator[_ReadPiece, None, None]:
    """Yield pieces in order, each with its bytes and, for each file, its chunks' checksums.

    What is in the page cache is read fastest by one thread, since several only pass the GIL to each other. So a piece
    is read here; if that had to wait for storage, threads read the next `_AHEAD_PIECES`, and then it is tried again.
    """
    waiting: deque[Future[_ReadPiece]] = deque()
    threads = min(jobs, MAX_JOBS)
    ahead = 0
    with ThreadPoolExecutor(threads, "ffrfs-pack") as pool:
        try:
            for piece in pieces:
                if ahead:
                    ahead -= 1
                    waiting.append(pool.submit(_read_piece, piece, follow))
                    if len(waiting) > threads:
                        yield waiting.popleft().result()
                    continue
                while waiting:
                    yield waiting.popleft().result()
                before = _waits()
                read = _read_piece(piece, follow)
                if threads > 1 and (_waits() - before) * _FILES_PER_WAIT > len(piece.files):
                    ahead = _AHEAD_PIECES
                yield read
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _waits() -> int:
    """How often the calling thread has given up its core to wait, which a read from the page cache does not."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def _read_piece(piece: Piece, follow: bool) -> _ReadPiece:
    data = np.empty(piece.length_bytes, np.uint8).data
    checksums = []
    begin = 0
    for file in piece.files:
        end = begin + min(file.size_bytes, piece.length_bytes)
        part = data[begin:end]
        _read_part(file, piece.offset_bytes, part, follow)
        checksums.append(chunk_checksums(part))
        begin = end
    return piece, data, checksums


def _read_part(file: SourceFile, offset_bytes: int, part: memoryview, follow: bool) -> None:
    """Fill `part` from a file, and make sure that the file is still the one that was scanned."""
    # O_NONBLOCK: should the file have become a FIFO, opening it must not hang.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        fd = os.open(file.path, flags)
    except FileNotFoundError:
        raise PackError(file.path, "it vanished while the folder was packed; nothing was written") from None
    except OSError as error:
        raise _named(error, file) from None
    try:
        length = os.preadv(fd, (part,), offset_bytes)
        while length < len(part):
            more = os.preadv(fd, (part[length:],), offset_bytes + length)
            if not more:
                break
            length += more
        status = os.fstat(fd)
    except OSError as error:
        if error.errno == errno.ESPIPE:
            raise PackError(file.path, _CHANGED) from None
        raise _named(error, file) from None
    finally:
        os.close(fd)
    if length < len(part) or status.st_size != file.size_bytes or status.st_mtime_ns != file.mtime_ns:
        raise PackError(file.path, _CHANGED)


def _named(error: OSError, file: SourceFile) -> OSError:
    """The same error with the file's path as text."""
    return OSError(error.errno, error.strerror, os.fsdecode(file.path))
