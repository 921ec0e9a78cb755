"""The index as a file that every process maps: written once, shared by all, never trusted without a reason.

    at          size  field
    0           8     "ffrfsidx"
    8           4     version, uint32
    12          4     h, the size of the JSON header, uint32
    16          4     CRC32 of the JSON header
    20          h     {"stamps": [[name, size, mtime_ns, checksum], …], "arrays": {name: [offset, count, CRC32]}}
    …                 the arrays of `Index.ARRAYS`, little-endian, each at a multiple of 64 bytes

It lies beside the archive, else in the user's cache folder. It is used only if its stamps are those of the shards that
are open, its checksums are right, and its arrays are those of a tree and of the archive's header: it may have come with
the archive from a stranger. Only root or this user may be able to write it, since it could be changed while it is
mapped, after the check. Anything else is ignored and the index is built again, so a lost or broken index file costs
time and nothing more.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import mmap
import os
import stat
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ffrfs.archive.one_archive import check_index
from ffrfs.archive.shards import Shards
from ffrfs.errors import ArchiveError
from ffrfs.format.header import crc32
from ffrfs.format.index import Index
from ffrfs.format.validation import check_arrays
from ffrfs.linux.atomic import PendingFile
from ffrfs.linux.homes import cache_folder
from ffrfs.linux.ownership import changeable_by_others

__all__ = [
    "UnusableIndexFile",
    "find_index_file",
    "index_file_paths",
    "load_index_file",
    "pass_on",
    "passed_on",
    "read_index_file",
    "save_index_file",
]

logger = logging.getLogger(__name__)

VERSION = 3
_MAGIC = b"ffrfsidx"
_PREFIX = struct.Struct("<8sIII")
_ALIGNMENT = 64
_MAX_HEADER_BYTES = 1 << 24
_WORTH_THREADS_BYTES = 1 << 22


_Arrays = dict[str, NDArray[Any]]


class UnusableIndexFile(Exception):
    """Why an index file is not used."""


def index_file_paths(shards: Shards) -> list[str]:
    """Where the index of an archive may lie, the preferred place first: beside the archive, then the user's cache.
    A view has no place: its index would be taken for that of its archive."""
    if shards.is_view:
        return []
    absolute = os.path.abspath(shards.path)
    beside = os.path.join(absolute, "ffrfs.index") if shards.folder is not None else absolute + ".index"
    cached = _cached_path(shards)
    # A list of files is no place of its own, so only the cache can say which list an index belongs to.
    only_cached = not shards.is_local() or (shards.folder is None and len(shards.paths) > 1)
    places = [cached] if only_cached else [beside, cached]
    return [place for place in places if place is not None]


def _cached_path(shards: Shards) -> str | None:
    """Where the user's cache would have it; None for a user without one."""
    folder = cache_folder()
    places = "\0".join([source.place for source in shards.sources])
    key = hashlib.sha256(places.encode("utf-8", "surrogateescape")).hexdigest()
    name = f"{os.path.basename(os.path.abspath(shards.path))}-{key[:16]}.index"
    return None if folder is None else os.path.join(folder, name)


def find_index_file(shards: Shards) -> tuple[str, Index] | None:
    """The first usable index of the archive and its path, or None. Never raises for a bad one; it is logged."""
    for path in index_file_paths(shards):
        index = load_index_file(path, shards)
        if index is not None:
            return path, index
    return None


def load_index_file(path: str, shards: Shards) -> Index | None:
    """Map the index at `path` if it is one of this archive and may be trusted, else return None."""
    try:
        return read_index_file(path, shards)
    except FileNotFoundError:
        return None
    except UnusableIndexFile as problem:
        logger.info("index %s is not used: %s", path, problem)
        return None


def read_index_file(path: str, shards: Shards) -> Index:
    """Map the index at `path`. Raises: FileNotFoundError; UnusableIndexFile, saying why it is not used."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnusableIndexFile(error.strerror) from error
    try:
        _check_writers(fd)
        index = Index(_map_arrays(fd, shards))
        check_index(shards, index)
        return index
    except (
        ArchiveError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        OverflowError,
        RecursionError,
    ) as problem:
        raise UnusableIndexFile(str(problem)) from problem
    except MemoryError:
        raise UnusableIndexFile("it is larger than memory") from None
    finally:
        os.close(fd)


def save_index_file(index: Index, shards: Shards) -> str | None:
    """Write the index where it will be found. Atomic: two processes doing it at once is harmless.

    Returns: the path, or None if neither place can be written or the archive has no header checksum to bind it to.
    """
    stamps = [astuple(shards.stamp(shard)) for shard in range(len(shards.paths))]
    if not all(checksum for *_, checksum in stamps):
        return None
    cached = _cached_path(shards)
    for path in index_file_paths(shards):
        try:
            with _cache_folder(path) if path == cached else _archive_folder(path, shards) as folder:
                _write(os.path.join(folder, os.path.basename(path)), index, stamps, shards)
        except OSError as error:
            logger.info("no index is kept at %s: %s", path, error.strerror)
        else:
            return path
    return None


def _check_writers(fd: int) -> None:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise UnusableIndexFile("it is no regular file")
    if status.st_uid not in (0, os.geteuid()):
        raise UnusableIndexFile(f"it belongs to user {status.st_uid}, and only root's and one's own are trusted")
    if status.st_mode & 0o022:
        raise UnusableIndexFile("others than its owner can write it")


def pass_on(index: Index, fd: int) -> None:
    """Write an index for a process that maps it with `passed_on`: into memory that the two share, not for keeping."""
    with open(fd, "wb", closefd=False) as stream:
        _write_arrays(stream, index, [])


def passed_on(fd: int) -> Index:
    """Map the index that a child process of this one has written with `pass_on`."""
    view, header = _view(fd)
    return Index(_arrays(view, header))


def _map_arrays(fd: int, shards: Shards) -> _Arrays:
    view, header = _view(fd)
    stamps = [list(astuple(shards.stamp(shard))) for shard in range(len(shards.paths))]
    if header["stamps"] != stamps or not all(stamp[3] for stamp in stamps):
        raise UnusableIndexFile("the archive has changed since it was made")
    arrays = _arrays(view, header)
    if _crcs(arrays) != [header["arrays"][name][2] for name in arrays]:
        raise UnusableIndexFile("its checksum is wrong")
    check_arrays(arrays, shards.sizes, [stamp[3] for stamp in stamps])
    return arrays


def _view(fd: int) -> tuple[mmap.mmap | bytearray, Any]:
    """The bytes of the file, and its JSON header."""
    size = os.fstat(fd).st_size
    if size < _PREFIX.size:
        raise UnusableIndexFile("it is too short")
    view = _mapped(fd, size)
    magic, version, header_size, header_crc = _PREFIX.unpack_from(view)
    if magic != _MAGIC or version != VERSION:
        raise UnusableIndexFile("it is of another version")
    if header_size > min(_MAX_HEADER_BYTES, size - _PREFIX.size):
        raise UnusableIndexFile("its header is cut short")
    text = view[_PREFIX.size : _PREFIX.size + header_size]
    if crc32(text) != header_crc:
        raise UnusableIndexFile("its header's checksum is wrong")
    return view, json.loads(text)


def _arrays(view: mmap.mmap | bytearray, header: Any) -> _Arrays:
    arrays: _Arrays = {}
    for name, dtype in Index.ARRAYS.items():
        offset, count, _ = header["arrays"][name]
        arrays[name] = np.frombuffer(view, dtype, count, offset)
    return arrays


def _mapped(fd: int, size: int) -> mmap.mmap | bytearray:
    """The bytes of the file: mapped, so that all processes share them, or read where the storage has no maps.

    The map is private, since storage with direct I/O has no other; nobody writes to it, so its pages are shared too.
    """
    try:
        return mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
    data = bytearray(size)
    with open(fd, "rb", closefd=False) as stream:
        if stream.readinto(data) != size:
            raise UnusableIndexFile("it became shorter while it was read")
    return data


def _crcs(arrays: _Arrays) -> list[int]:
    """The CRC32 of each array; it does not hold the GIL, so two cores take half the time."""
    if sum(array.nbytes for array in arrays.values()) < _WORTH_THREADS_BYTES:
        return [crc32(array) for array in arrays.values()]
    with ThreadPoolExecutor(min(len(arrays), os.cpu_count() or 1)) as pool:
        return list(pool.map(crc32, arrays.values()))


@contextlib.contextmanager
def _cache_folder(path: str) -> Iterator[str]:
    """The user's cache folder; not root's where HOME or XDG_CACHE_HOME is another user's. Raises: OSError."""
    folder = os.path.dirname(path)
    other = changeable_by_others(folder)
    if other is not None:
        raise PermissionError(errno.EPERM, f"other users can change {other}", path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    yield folder


@contextlib.contextmanager
def _archive_folder(path: str, shards: Shards) -> Iterator[str]:
    """The folder of the archive that is open, under a name that nobody can lead elsewhere meanwhile: root must not
    write where the owner of a folder on the way has a symlink point to. Raises: OSError."""
    fd = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        there = os.stat(os.path.basename(shards.paths[0]), dir_fd=fd)
        if not os.path.samestat(there, os.fstat(shards.descriptors[0])):
            raise OSError(errno.ESTALE, "another archive has come to its place", path)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _write(path: str, index: Index, stamps: list[tuple[object, ...]], shards: Shards) -> None:
    pending = PendingFile(path)
    try:
        with open(pending.fd, "wb", closefd=False) as stream:
            _write_arrays(stream, index, stamps)
        # For those who can read the archive.
        pending.commit(shards.sources[0].mode & 0o444 | 0o600)
    finally:
        pending.abort()


def _write_arrays(stream: BinaryIO, index: Index, stamps: list[tuple[object, ...]]) -> None:
    arrays = {name: index.arrays[name] for name in Index.ARRAYS}
    crcs = _crcs(arrays)
    places, end = [], 0
    for array in arrays.values():
        places.append(end)
        end = _aligned(end + array.nbytes)

    def header(begin: int) -> bytes:
        described = zip(arrays, places, crcs, strict=True)
        entries = {name: [begin + at, len(arrays[name]), crc] for name, at, crc in described}
        return json.dumps({"stamps": stamps, "arrays": entries}).encode()

    # Where the arrays begin depends on the header's size, which depends on the digits of where they begin: leave room.
    begin = _aligned(_PREFIX.size + len(header(end)) + _ALIGNMENT)
    text = header(begin).ljust(begin - _PREFIX.size)
    stream.write(_PREFIX.pack(_MAGIC, VERSION, len(text), crc32(text)) + text)
    for at, array in zip(places, arrays.values(), strict=True):
        stream.seek(begin + at)
        stream.write(array.data)
    stream.truncate(begin + end)  # as far as the last arrays, which may be empty


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT
