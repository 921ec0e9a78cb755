"""A file that the operating system can open. A descriptor has no state that matters to pread, so forks share it."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ffrfs.errors import FormatError, TruncatedError
from ffrfs.linux.libc import libc
from ffrfs.sources.source import Source

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["LocalFile"]

# From linux/stat.h and linux/fcntl.h.
_AT_EMPTY_PATH, _AT_STATX_DONT_SYNC = 0x1000, 0x4000  # the latter: what the kernel knows, without asking a server
_STATX_SIZE_AND_TIMES = 0x200 | 0x80 | 0x40
_STATX_BYTES = 256
_SIZE_AT = 40
_SIZE_AND_TIMES = struct.Struct("Q48xqI4xqI")

_statx = libc.statx
_statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]


class _Answer(threading.local):
    """Where the kernel writes, for each thread."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(_STATX_BYTES)


_answer = _Answer()


class LocalFile(Source):
    """A regular file. Replacing it on disk does not change what is read. Raises: OSError, FormatError for others."""

    def __init__(self, path: str) -> None:
        self.name, self.place = path, os.path.realpath(path)
        self.descriptor = _open(path)
        status = os.fstat(self.descriptor)
        self.size_bytes, self.mtime_ns, self.tag_ns = status.st_size, status.st_mtime_ns, status.st_mtime_ns
        self.mode = stat.S_IMODE(status.st_mode)
        times = f"{status.st_mtime_ns}:{status.st_ctime_ns}"
        self.identity = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{times}"

    def __reduce__(self) -> tuple[Any, ...]:
        return LocalFile, (self.name,)

    def read_into(self, offset_bytes: int, buffer: WriteableBuffer) -> None:
        """As for every source."""
        fd, length = self.descriptor, memoryview(buffer).nbytes
        done = os.preadv(fd, (buffer,), offset_bytes)
        while done < length:
            count = os.preadv(fd, (memoryview(buffer).cast("B")[done:],), offset_bytes + done)
            if count == 0:
                end = offset_bytes + done
                raise TruncatedError(self.name, f"the file ends at byte {end}, it was longer before", offset=end)
            done += count

    def read_near(self, offset_bytes: int, buffers: Sequence[WriteableBuffer]) -> int:
        """As for every source; "in memory" is the page cache."""
        return os.preadv(self.descriptor, buffers, offset_bytes, os.RWF_NOWAIT)

    def version(self) -> tuple[int, ...]:
        """Size, then seconds and nanoseconds of ctime and mtime. Cost: one system call."""
        flags, buffer = _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, _answer.buffer
        if _statx(self.descriptor, b"", flags, _STATX_SIZE_AND_TIMES, buffer) != 0:
            return (-1, ctypes.get_errno())
        return _SIZE_AND_TIMES.unpack_from(buffer, _SIZE_AT)

    def is_replaced(self) -> bool:
        """As for every source."""
        try:
            return not os.path.samestat(os.fstat(self.descriptor), os.stat(self.name))
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """As for every source."""
        fd, self.descriptor = self.descriptor, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def _open(path: str) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # O_NONBLOCK: opening a FIFO must not hang
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise FormatError(path, "it is no regular file, so it is no archive")
