"""Packing a folder into an archive, in one file or in shards."""

from __future__ import annotations

import os
import sys
from array import array
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import get_args

from ffrfs.errors import ConfigError, printable
from ffrfs.format.chunks import chunk_checksums, packed_chunks
from ffrfs.pack.copy import Piece, copy_files
from ffrfs.pack.progress import Progress, Tally
from ffrfs.pack.scan import SourceTree, Symlinks, scan_folder
from ffrfs.pack.shards import pack_shards, split_evenly, split_to_size
from ffrfs.pack.writer import FileWriter, check_archive_name
from ffrfs.sources.opening import absolute, is_url, redacted

__all__ = ["DEFAULT_JOBS", "Packed", "check_options", "check_output", "pack_folder"]

DEFAULT_JOBS = 16  # threads that only wait cost nothing, and on storage with latency each is another read under way


@dataclass(frozen=True, slots=True)
class Packed:
    """What `pack_folder` wrote: how many files of how many bytes in all, into which archive files; and for the index
    the CRC32 of each chunk of the records over 1 MiB, uint32, little-endian."""

    files: int
    size_bytes: int
    archives: list[str]
    chunk_checksums: bytes = field(default=b"", repr=False)


def pack_folder(
    folder: str | os.PathLike[str],
    out_file: str | os.PathLike[str],
    verbose: bool = False,
    *,
    symlinks: Symlinks = "follow",
    jobs: int | None = None,
    shards: int | None = None,
    shard_bytes: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Packed:
    """Pack a folder into an archive that `PackedFolder` reads, and HFAiLab/ffrecord too.

    The same folder makes the same bytes, those that the reference writes, whatever the options. Nothing appears at
    out_file before all of it is written and on disk; what was there is replaced then.

    Args: folder; out_file, a path or s3://BUCKET/KEY that ends in .ffr, or with `shards` or `shard_bytes` a folder for
    PART_00000.ffr and so on, which must have no .ffr files in it; verbose, print a line for each file, as the reference
    does, or each shard; symlinks, whether they are followed, left out or an error; jobs, threads that read ahead where
    storage is slow, at most 32, or write shards; shards, their number, about equal in bytes, and fewer where there are
    fewer records; shard_bytes, how large one may be, unless a single file is larger; executor, what writes the shards,
    such as a `ProcessPoolExecutor` or dask's `Client.get_executor()`; progress, called with (files done, bytes done,
    files in all, bytes in all).
    Raises: PackError naming what cannot be packed, or changed in the meantime; ConfigError for options that do not fit
    each other; OSError with the path.
    Cost: one pass over the data; memory does not grow with the sizes of files.
    Source: HFAiLab/ffrecord package.py.
    """
    source, out = os.path.abspath(folder), absolute(out_file)
    sharded = shards is not None or shard_bytes is not None
    check_options(symlinks, jobs, shards, shard_bytes, executor)
    check_output(out, sharded)
    output_folder = out if sharded and os.path.isdir(out) else os.path.dirname(out)
    tree = scan_folder(source, symlinks, None if is_url(out) else output_folder)
    size_bytes = sum(tree.sizes)
    tally = Tally(progress, len(tree), size_bytes)
    threads = jobs if jobs is not None else DEFAULT_JOBS
    if not sharded:
        chunks = _pack_single(tree, out, symlinks, threads, verbose, tally)
        return Packed(len(tree), size_bytes, [out], chunks)
    record = tree.record()
    sizes = tree.sizes + array("q", [len(record)])
    ends = split_evenly(sizes, shards) if shards is not None else split_to_size(sizes, shard_bytes or 0)
    archives, chunks = pack_shards(tree, record, ends, out, symlinks == "follow", executor, threads, tally)
    if verbose:
        for begin, end, archive in zip([0, *ends], ends, archives, strict=False):
            _say(f"{printable(archive)}: {end - begin} records")
    return Packed(len(tree), size_bytes, archives, chunks)


def check_output(out: str, sharded: bool) -> None:
    """Raises: ConfigError for a place where no archive can be written to."""
    if not sharded:
        check_archive_name(out)
    elif is_url(out):
        raise ConfigError(f"{redacted(out)}: shards are written to a folder; copy them to the bucket from there")


def check_options(
    symlinks: str, jobs: int | None, shards: int | None, shard_bytes: int | None, executor: Executor | None
) -> None:
    """Raises: ConfigError for options that make no sense, or not with each other."""
    if symlinks not in get_args(Symlinks):
        raise ConfigError(f"symlinks can be {', '.join(get_args(Symlinks))}, not {symlinks!r}")
    if jobs is not None and jobs < 1:
        raise ConfigError(f"packing takes at least 1 job, not {jobs}")
    if shards is not None and shard_bytes is not None:
        raise ConfigError("give either the number of shards or their size, not both")
    if shards is not None and shards < 1:
        raise ConfigError(f"an archive has at least 1 shard, not {shards}")
    if shard_bytes is not None and shard_bytes < 1:
        raise ConfigError(f"a shard has at least 1 byte, not {shard_bytes}")
    if executor is not None and shards is None and shard_bytes is None:
        raise ConfigError("an executor writes shards, so give their number or size too")


def _say(line: str) -> None:
    """Print a line, with escapes for characters that standard output cannot show, rather than fail in the middle."""
    encoding = sys.stdout.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _pack_single(tree: SourceTree, out: str, symlinks: Symlinks, jobs: int, verbose: bool, tally: Tally) -> bytes:
    files = len(tree)
    record = 0

    def written(piece: Piece) -> None:
        nonlocal record
        if verbose and piece.last:
            for number, file in enumerate(piece.files, record):
                path = printable(file.path)
                _say(f"{number:0{len(str(files))}d}/{files} {path}")
        finished = len(piece.files) if piece.last else 0
        record += finished
        tally.add(finished, piece.length_bytes)

    with FileWriter(out, files + 1, sum(tree.sizes)) as writer:
        chunks = copy_files(tree.files(), writer, jobs, symlinks == "follow", written)
        record_of_tree = tree.record()
        writer.write_one(record_of_tree)
    return chunks + packed_chunks(chunk_checksums(record_of_tree))
