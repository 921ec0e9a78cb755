"""Writing an archive: records in order, the header last, the name when all is there."""

from __future__ import annotations

import atexit
import os
import warnings
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ffrfs.errors import ConfigError, PackError
from ffrfs.format.header import crc32, encode_header, header_bytes
from ffrfs.linux.atomic import PendingFile
from ffrfs.sources.opening import is_url
from ffrfs.sources.upload import PendingObject

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["FileWriter"]

_BUFFER_BYTES = 1 << 20
_open_writers: weakref.WeakSet[FileWriter] = weakref.WeakSet()


class FileWriter:
    """Writes an archive of `n` records, as HFAiLab/ffrecord's class of this name.

    Args: fname, a path or s3://BUCKET/KEY, whose name must end in .ffr; n, the number of records; expected_bytes, about
    how many they have, which matters for uploads of more than 150 GB. Attributes: n; count, how many are written.
    The archive appears under its name at `close`, whole and on disk, and replaces what was there. Until then it has a
    temporary name beside it. A writer that is never closed is when it is garbage-collected or Python ends, if all
    records were written; otherwise it leaves nothing and warns of what is missing. A `with` block left by an exception
    leaves nothing. For one thread at a time.
    Raises: ConfigError for a name or n that cannot be; PackError for more or fewer records than n; OSError.
    Source: HFAiLab/ffrecord fileio.py and writer.cpp, which write under the final name.
    """

    def __init__(self, fname: str | os.PathLike[str], n: int, expected_bytes: int = 0) -> None:
        self.fname = os.fspath(fname)
        check_archive_name(self.fname)
        if n < 0:
            raise ConfigError(f"an archive cannot have {n} records")
        self.n = n
        self.count = 0
        self._checksums = np.empty(n, np.uint32)
        self._lengths = np.empty(n, np.int64)
        self._unfinished_bytes = 0  # put, but not yet in a record
        self._buffer = bytearray()
        self._end = header_bytes(n)  # of what is written; the header's place stays empty until close
        self._pid = os.getpid()
        self._file: PendingFile | PendingObject | None
        if is_url(self.fname):
            self._file = PendingObject(self.fname, header_bytes(n), expected_bytes)
        else:
            self._file = PendingFile(self.fname)
        _open_writers.add(self)

    def write_one(self, data: ReadableBuffer) -> None:
        """Append a record: bytes, bytearray, memoryview or a contiguous array; copied or written before the return."""
        view = memoryview(data)
        self.put(view)
        self.end_record(view.nbytes, crc32(view))

    def write(self, records: Iterable[ReadableBuffer]) -> None:
        """Append records, each as `write_one` takes it."""
        for record in records:
            self.write_one(record)

    def put(self, data: ReadableBuffer) -> None:
        """Append bytes that `end_record` will make into records. Any number of calls may make one record, and one call
        several: large files are written in pieces, small ones many at a time."""
        self._open_file()
        view = memoryview(data)
        if not view.nbytes:
            return
        self._check_room()
        view = view.cast("B")
        self._unfinished_bytes += len(view)
        if len(self._buffer) + len(view) > _BUFFER_BYTES:
            self._flush()
        if len(view) > _BUFFER_BYTES:
            self._write_out(view)
        else:
            self._buffer += view

    def end_record(self, length_bytes: int, checksum: int) -> None:
        """Make the next `length_bytes` of what was put a record, whose CRC32 the caller knows to be `checksum`."""
        self._check_room()
        if length_bytes > self._unfinished_bytes:
            raise PackError(self.fname, f"a record of {length_bytes} bytes, of which {self._unfinished_bytes} were put")
        self._unfinished_bytes -= length_bytes
        self._lengths[self.count] = length_bytes
        self._checksums[self.count] = checksum
        self.count += 1

    def close(self) -> None:
        """Write the header, sync, and give the archive its name; nothing the second time.

        Raises: PackError if there are fewer records than promised, OSError; then no archive is left.
        """
        if self._file is None:
            return
        try:
            if self.count != self.n or self._unfinished_bytes:
                raise PackError(self.fname, f"closed after {self.count} records where {self.n} were promised")
            self._flush()
            self._end = 0
            self._write_out(memoryview(encode_header(self._checksums, self._lengths)))
            self._file.commit()
        finally:
            self.abort()

    def abort(self) -> None:
        """Give the archive up and remove what was written; nothing after `close`."""
        file, self._file = self._file, None
        if file is not None:
            file.abort()

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self._finish()

    def _finish(self) -> None:
        """Close a writer that nobody has closed, or give it up with a warning; never raises.

        HFAiLab's converters rely on the destructor of the reference. A forked child leaves the file to its parent.
        """
        try:
            if os.getpid() == self._pid:
                self.close()
            else:
                self.abort()
        except (PackError, OSError) as error:
            warnings.warn(f"{error}; its FileWriter was never closed, so no archive is written", stacklevel=2)

    def _open_file(self) -> PendingFile | PendingObject:
        if self._file is None:
            raise ValueError(f"the writer of {self.fname} is closed")
        return self._file

    def _check_room(self) -> None:
        if self.count == self.n:
            raise PackError(self.fname, f"it has all of the {self.n} records promised; one more cannot be written")

    def _flush(self) -> None:
        if self._buffer:
            self._write_out(memoryview(self._buffer))
            self._buffer = bytearray()

    def _write_out(self, view: memoryview) -> None:
        done = 0
        try:
            while done < len(view):
                done += self._open_file().pwrite(view[done:], self._end + done)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.fname) from None
        self._end += done


@atexit.register
def _finish_open_writers() -> None:
    """Before Python takes its modules apart, after which a destructor may find nothing to work with."""
    for writer in list(_open_writers):
        writer.__del__()  # of a closed one it does nothing


def check_archive_name(fname: str) -> None:
    """Raises: ConfigError unless the name ends in .ffr, without which the reference reader does not take it."""
    if os.path.splitext(fname)[1] != ".ffr":
        raise ConfigError(f"{fname}: the name of an archive must end in .ffr")
