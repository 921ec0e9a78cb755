"""Telling a mount which files will be read next: `prefetch(paths)`.

A hint is a LOOKUP of a name that no file has: a prefix and the inodes, in the order in which they will be read. That
needs no rights, no open file and no socket, and it goes through bind mounts into containers. The mount answers that
there is no such file, and its prefetcher reads the records in batches ahead of the reader.

Imports nothing of FUSE; the training process calls it, and `fs` decodes with it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence

from ffrfs.linux.mountinfo import FS_TYPE, read_mounts

__all__ = ["HINT_PREFIX", "decode_hint", "encode_hints", "prefetch"]

HINT_PREFIX = b".ffrfs-next:"
_NAME_BYTES = 255
# Base 254: all byte values but NUL and the slash, which no name may have. Four digits make 32 bits.
_DIGITS = bytes(value for value in range(256) if value not in (0, ord("/")))
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_INODE_DIGITS = 5
_INODES_PER_NAME = (_NAME_BYTES - len(HINT_PREFIX)) // _INODE_DIGITS


def prefetch(paths: Iterable[str | bytes | os.PathLike[str]]) -> int:
    """Say that these files will be read soon, in this order.

    Args: paths, on one or more mounts of ffrfs, also below bind mounts; files on other file systems are announced with
    posix_fadvise(WILLNEED).
    Returns: how many files were announced to a mount of ffrfs. Files that do not exist are passed over: it is a hint.
    Cost: one stat a file and one round trip to the mount for each 48; nothing is waited for.
    """
    announced = 0
    batches: dict[int, tuple[bytes, list[int]]] = {}
    devices = {mount.device_number for mount in read_mounts(FS_TYPE)}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        if status.st_dev not in devices:
            _advise(path)
            continue
        folder, inodes = batches.setdefault(status.st_dev, (os.path.dirname(os.fsencode(path)), []))
        inodes.append(status.st_ino)
        announced += 1
        if len(inodes) == _INODES_PER_NAME:
            _announce(folder, inodes)
            inodes.clear()
    for folder, inodes in batches.values():
        _announce(folder, inodes)
    return announced


def encode_hints(inodes: Sequence[int]) -> Iterator[bytes]:
    """The names to look up to announce these inodes, each name at most 255 bytes."""
    for begin in range(0, len(inodes), _INODES_PER_NAME):
        name = bytearray(HINT_PREFIX)
        for inode in inodes[begin : begin + _INODES_PER_NAME]:
            rest = inode
            for _ in range(_INODE_DIGITS):
                rest, digit = divmod(rest, len(_DIGITS))
                name.append(_DIGITS[digit])
        yield bytes(name)


def decode_hint(name: bytes) -> list[int]:
    """The inodes that a name announces; empty if it announces none."""
    digits = name[len(HINT_PREFIX) :]
    if not name.startswith(HINT_PREFIX) or len(digits) % _INODE_DIGITS:
        return []
    inodes = []
    for begin in range(0, len(digits), _INODE_DIGITS):
        inode = 0
        for digit in reversed(digits[begin : begin + _INODE_DIGITS]):
            inode = inode * len(_DIGITS) + _VALUES[digit]
        if inode < 1 << 32:  # five digits can say more than an inode is
            inodes.append(inode)
    return inodes


def _announce(folder: bytes, inodes: list[int]) -> None:
    for name in encode_hints(inodes):
        try:
            os.stat(os.path.join(folder, name))
        except OSError as error:
            if error.errno != errno.ENOENT:
                return  # the mount is gone; whoever reads next will be told


def _advise(path: str | bytes | os.PathLike[str]) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
    except OSError:
        pass  # a pipe or a socket
    finally:
        os.close(fd)
