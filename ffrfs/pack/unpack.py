"""An archive's files, written back to disk: to a folder or a tar.

While the work goes on, and if it is cut short, the target holds `.ffrfs-unpack-incomplete`; a tree without that file is
whole. A file whose writing fails is removed again, so after an error, as opposed to a kill, every file that is there is
whole too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ffrfs.archive.folder import PathInArchive, resolve
from ffrfs.archive.opening import load_index
from ffrfs.archive.reader import RecordReader, check_or_reread, checksum_error
from ffrfs.archive.shards import ArchivePath, Shards
from ffrfs.format.header import crc32
from ffrfs.format.index import ROOT_INODE, Index
from ffrfs.format.names import decode_name
from ffrfs.pack.outputs.folder import TargetFolder
from ffrfs.pack.outputs.tar import TargetTar
from ffrfs.pack.paths import Paths
from ffrfs.pack.progress import Progress, Tally

__all__ = ["MARKER", "OutputKind", "Unpacked", "unpack"]

OutputKind = Literal["folder", "tar"]

MARKER = b".ffrfs-unpack-incomplete"
_BATCH_BYTES = 8 << 20
_BATCH_FILES = 256


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What `unpack` wrote: how many files of how many bytes in all."""

    files: int
    size_bytes: int


def unpack(
    archive: ArchivePath | Iterable[ArchivePath],
    target: str | os.PathLike[str],
    force: bool = False,
    *,
    to: OutputKind = "folder",
    paths: Iterable[PathInArchive] | None = None,
    progress: Progress | None = None,
) -> Unpacked:
    """Write the files of an archive to a folder or a tar, each checked against its CRC32.

    Args: archive, as for `FileReader`; target, a folder, made if it does not exist, or the tar, which appears when it
    is whole; force, whether the folder may have something in it, which is then merged with, files (and links) in the
    way being replaced, or the tar be replaced; to, what the target is; paths, what to unpack, by default everything;
    progress, as for `pack_folder`.
    Raises: FileExistsError if the target is not empty, or without force something is in the way; FileNotFoundError,
    NotADirectoryError for paths that the archive does not have; ArchiveError, at the first file that is damaged;
    OSError with the path.
    Memory: some 20 MiB beside the index, whatever the files' sizes.
    """
    shards = Shards(archive)
    try:
        index = load_index(shards)
        inodes = _selection(shards, index, paths)
        tally = Tally(progress, *_totals(index, inodes))
        with _opened(os.fspath(target), to, force, shards, index) as output:
            _write_tree(shards, index, output, _walk(index, inodes), tally)
    finally:
        shards.close()
    return Unpacked(tally.files_total, tally.bytes_total)


@contextlib.contextmanager
def _opened(
    target: str, to: OutputKind, force: bool, shards: Shards, index: Index
) -> Iterator[TargetFolder | TargetTar]:
    if to == "tar":
        with TargetTar(target, force, shards.mtime_ns()) as tar:
            yield tar
    else:
        with TargetFolder(target, force) as folder, folder.marked(_free_name(index)):
            yield folder


def _selection(shards: Shards, index: Index, paths: Iterable[PathInArchive] | None) -> list[int]:
    """The inodes at these paths, in order, without those that lie in another one of them."""
    if paths is None:
        return [ROOT_INODE]
    chosen = {resolve(index, path, shards.path) for path in paths}
    return [inode for inode in sorted(chosen) if not chosen.intersection(_ancestors(index, inode))]


def _ancestors(index: Index, inode: int) -> Iterator[int]:
    while inode != ROOT_INODE:
        inode = index.parent(inode)
        yield inode


def _walk(index: Index, inodes: list[int]) -> Iterator[int]:
    for inode in inodes:
        yield inode
        yield from index.walk(inode)


def _totals(index: Index, inodes: list[int]) -> tuple[int, int]:
    """How many files there are to unpack, and their bytes in all."""
    files = size_bytes = 0
    for inode in _walk(index, inodes):
        if not index.is_directory(inode):
            files += 1
            size_bytes += index.size(inode)
    return files, size_bytes


def _free_name(index: Index) -> bytes:
    """A name for the marker that the archive does not have itself."""
    name = MARKER
    while index.lookup(ROOT_INODE, name):
        name += b"_"
    return name


def _write_tree(
    shards: Shards, index: Index, target: TargetFolder | TargetTar, inodes: Iterator[int], tally: Tally
) -> None:
    path_of = Paths(index)
    reader = RecordReader(shards, index.records, check=False)  # checked below, where the file's name is known
    try:
        for batch in _batches(index, inodes):
            if index.is_directory(batch[0]):
                target.enter(path_of(batch[0]))
            elif index.size(batch[0]) > _BATCH_BYTES:
                target.write(path_of(batch[0]), index.size(batch[0]), _parts(shards, index, batch[0], tally))
            else:
                numbers = [index.record(inode) for inode in batch]
                for inode, number, data in zip(batch, numbers, reader.read(numbers), strict=True):
                    path = path_of(inode)
                    check_or_reread(shards, index.records, number, data, decode_name(path))
                    target.write(path, len(data), [data.data])
                tally.add(len(batch), sum(map(index.size, batch)))
    finally:
        reader.close()


def _batches(index: Index, inodes: Iterator[int]) -> Iterator[list[int]]:
    """Small files to be read at once; a directory and a file larger than `_BATCH_BYTES` are a batch each."""
    batch: list[int] = []
    batch_bytes = 0
    for inode in inodes:
        size = index.size(inode)
        if index.is_directory(inode) or size > _BATCH_BYTES:
            yield [inode]
            continue
        if batch and (batch_bytes + size > _BATCH_BYTES or len(batch) == _BATCH_FILES):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(inode)
        batch_bytes += size
    if batch:
        yield batch


def _parts(shards: Shards, index: Index, inode: int, tally: Tally) -> Iterator[memoryview]:
    """A large file in parts. Raises: ChecksumError after the last one if they were not what was packed."""
    record = index.record(inode)
    shard, offset, length = index.records.extent(record)
    buffer = memoryview(bytearray(_BATCH_BYTES))
    actual = 0
    for done in range(0, length, _BATCH_BYTES):
        part = buffer[: min(_BATCH_BYTES, length - done)]
        shards.read_into(shard, offset + done, part)
        actual = crc32(part, actual)
        yield part
        tally.add(done + len(part) == length, len(part))
    if actual != index.records.checksum(record):
        raise checksum_error(shards, index.records, record, actual, decode_name(index.path(inode)))
