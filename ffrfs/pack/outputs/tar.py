"""A tar that an archive is unpacked into: entries in the order of names, which keeps what WebDataset calls a sample
together. It appears under its name when it is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import tarfile
from collections.abc import Iterable, Iterator

from ffrfs.format.names import decode_name
from ffrfs.linux.atomic import PendingFile

__all__ = ["TargetTar"]

_BUFFER_BYTES = 1 << 20
_END_BYTES = 2 * tarfile.BLOCKSIZE


class TargetTar:
    """A tar file.

    Args: path; force, whether it may exist, and is replaced then; mtime_ns, of all entries. Paths in it are bytes,
    without a leading slash. As a context manager it is committed at the end, and dropped after an exception.
    Raises: FileExistsError without force; IsADirectoryError; OSError.
    """

    def __init__(self, path: str, force: bool, mtime_ns: int) -> None:
        if not force and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "the file exists, and overwriting was not asked for", path)
        self._path, self._mtime = path, mtime_ns // 1_000_000_000
        self._size_bytes = 0
        self._pending = PendingFile(os.path.abspath(path))
        self._stream = open(self._pending.fd, "wb", buffering=_BUFFER_BYTES, closefd=False)  # noqa: SIM115 - in __exit__

    def __enter__(self) -> TargetTar:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None:
                self._put(bytes(_END_BYTES))
                self._put(bytes(-self._size_bytes % tarfile.RECORDSIZE))
                self._close()
                self._pending.commit()
        finally:
            with contextlib.suppress(OSError):
                self._stream.close()
            self._pending.abort()

    def enter(self, path: bytes) -> None:
        """Write the entry of a directory."""
        info = tarfile.TarInfo(decode_name(path))
        info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, self._mtime
        if path:
            self._put_header(info)

    def write(self, path: bytes, size_bytes: int, parts: Iterable[memoryview]) -> None:
        """Write a file. Raises: OSError; what `parts` raises, which are `size_bytes` in all."""
        info = tarfile.TarInfo(decode_name(path))
        info.size, info.mode, info.mtime = size_bytes, 0o644, self._mtime
        self._put_header(info)
        for part in parts:
            self._put(part)
        self._put(bytes(-size_bytes % tarfile.BLOCKSIZE))

    def _put_header(self, info: tarfile.TarInfo) -> None:
        self._put(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))

    def _put(self, data: bytes | memoryview) -> None:
        self._size_bytes += len(data)
        with self._named_errors():
            self._stream.write(data)

    def _close(self) -> None:
        with self._named_errors():
            self._stream.close()

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from None
