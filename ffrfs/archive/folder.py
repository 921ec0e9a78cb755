"""A packed folder read in process, by path."""

from __future__ import annotations

import builtins
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffrfs.archive.one_archive import read_tree
from ffrfs.archive.opening import is_packed_folder, load_index
from ffrfs.archive.reader import FileReader, RecordReader
from ffrfs.archive.shards import ArchivePath, Shards
from ffrfs.archive.structure import Structure, in_name_order, nested
from ffrfs.errors import ChecksumError, FormatError
from ffrfs.format.index import ROOT_INODE, Index
from ffrfs.format.names import decode_name, encode_name

__all__ = ["PackedFolder", "path_parts", "resolve"]

Bytes = NDArray[np.uint8]
PathInArchive = str | bytes | os.PathLike[str]


def path_parts(path: PathInArchive) -> list[bytes]:
    """The names a path in an archive consists of: leading, doubled and trailing slashes and `.` are dropped.

    `..` is kept as a name, and since no archive has it, it is not found: a path cannot climb out.
    """
    path = os.fspath(path)
    name = encode_name(path) if isinstance(path, str) else path
    return [part for part in name.split(b"/") if part not in (b"", b".")]


def resolve(index: Index, path: PathInArchive, archive: str) -> int:
    """The inode of what is at a path.

    Args: archive, as errors name it. Raises: FileNotFoundError, NotADirectoryError.
    """
    inode, lookup = ROOT_INODE, index.lookup
    for part in path_parts(path):
        if not index.is_directory(inode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), _name(archive, path))
        inode = lookup(inode, part)
        if inode == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), _name(archive, path))
    return inode


def _name(archive: str, path: PathInArchive) -> str:
    """A path as errors show it: with the archive that it is in."""
    path = os.fspath(path)
    return f"{archive}/{(path if isinstance(path, str) else decode_name(path)).lstrip('/')}"


class PackedFolder:
    """A folder packed by `pack_folder`, as HFAiLab/ffrecord's class of this name.

    Args: ffr_file, as for `FileReader`; check_data, whether every file read is compared with its CRC32.
    Attributes: index, the `Index` of names; path, the archive as messages name it; check_data.
    Paths are relative to the packed folder. Raises: OSError, ArchiveError; FormatError if the archive has no tree.
    Safe under threads and fork; pickles as its arguments.
    Source: HFAiLab/ffrecord package.py.
    """

    def __init__(self, ffr_file: ArchivePath | Iterable[ArchivePath], check_data: bool = True) -> None:
        self._arguments = (ffr_file if isinstance(ffr_file, (str, os.PathLike)) else list(ffr_file), check_data)
        self._shards: Shards | None = Shards(self._arguments[0])
        self.path = self._shards.path
        self.check_data = check_data
        self.index: Index = load_index(self._shards, check_data)
        if not is_packed_folder(self._shards, self.index.records):
            raise FormatError(
                self.path,
                "this archive has records but no tree of names, so it is no packed folder; FileReader reads it",
            )
        self._reader = RecordReader(self._shards, self.index.records, check_data)

    def num_files(self) -> int:
        """The number of files in the folder."""
        return self.index.files

    def exists(self, path: PathInArchive) -> bool:
        """Whether there is a file or folder at this path."""
        return self._find(path) != 0

    def is_file(self, path: PathInArchive) -> bool:
        """Whether there is a file at this path."""
        inode = self._find(path)
        return inode != 0 and not self.index.is_directory(inode)

    def is_dir(self, path: PathInArchive) -> bool:
        """Whether there is a folder at this path."""
        inode = self._find(path)
        return inode != 0 and self.index.is_directory(inode)

    def size(self, path: PathInArchive) -> int:
        """The size in bytes of the file at this path. Raises as `read_one`."""
        return self.index.records.length(self._record(path))

    def list(
        self, path: PathInArchive | None = None, list_file: bool = True, list_dir: bool = True, recursive: bool = False
    ) -> builtins.list[str | Path]:
        """What is in a folder, in the order in which it was packed, which is that of names unless others packed it.

        Args: path, the folder, by default the whole archive; list_file, list_dir, what to name; recursive, whether to
        go down. Returns: names (str), and for what lies deeper paths relative to the folder (Path), as the reference
        does. Raises: FileNotFoundError, NotADirectoryError.
        """
        inode = ROOT_INODE if path is None else self.inode(path)
        if not self.index.is_directory(inode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), _name(self.path, path or ""))
        return builtins.list(self._walk(inode, list_file, list_dir, recursive))

    def read_one(self, fname: PathInArchive) -> Bytes:
        """The contents of a file, uint8, shape (size,).

        Raises: FileNotFoundError, NotADirectoryError, IsADirectoryError; ChecksumError, TruncatedError, OSError.
        """
        record = self._record(fname)
        self._check_open()
        try:
            return self._reader.read_one(record)
        except ChecksumError as error:
            raise self._named(error, [fname], [record]) from None

    def read(self, fnames: Iterable[PathInArchive]) -> builtins.list[Bytes]:
        """The contents of many files, read as one batch, in the order asked for.

        Raises: as `read_one`; TypeError for a single path.
        """
        if isinstance(fnames, (str, bytes, os.PathLike)):
            raise TypeError(f"read takes a list of paths: read_one({fnames!r}) reads one file, read([{fnames!r}]) too")
        paths = builtins.list(fnames)
        numbers = [self._record(path) for path in paths]
        self._check_open()
        try:
            return self._reader.read(numbers)
        except ChecksumError as error:
            raise self._named(error, paths, numbers) from None

    def prefetch(self, fnames: Iterable[PathInArchive]) -> None:
        """Say that these files will be read soon: the kernel begins to read them, and nothing is waited for.

        Paths that are no files are passed over.
        """
        self._check_open()
        numbers = [self.index.record(inode) for path in fnames if (inode := self._find(path))]
        self._reader.prefetch([record for record in numbers if record >= 0])

    @cached_property
    def reader(self) -> FileReader:
        """The same archive by record number; the last record is the tree."""
        return FileReader(self._arguments[0], self.check_data)

    @cached_property
    def structure(self) -> Structure:
        """The tree as nested dictionaries: names to record numbers, and to the same for folders.

        Cost: about a microsecond and 100 bytes a file, at the first time; `list` and `is_file` need none of it.
        """
        return nested(read_tree(self._check_open(), self.index.records, len(self.index.records) - 1, self.check_data))

    def close(self) -> None:
        """Close the files; reading afterwards raises ValueError."""
        if "reader" in self.__dict__:
            self.reader.close()
        if self._shards is not None:
            self._reader.close()
            self._shards.close()
            self._shards = None

    def __enter__(self) -> PackedFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedFolder, self._arguments

    def _find(self, path: PathInArchive) -> int:
        inode, lookup = ROOT_INODE, self.index.lookup
        for part in path_parts(path):
            inode = lookup(inode, part)
            if inode == 0:
                return 0
        return inode

    def inode(self, path: PathInArchive) -> int:
        """The inode of what is at this path. Raises: FileNotFoundError, NotADirectoryError."""
        return resolve(self.index, path, self.path)

    def _record(self, path: PathInArchive) -> int:
        record = self.index.record(self.inode(path))
        if record < 0:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), _name(self.path, path))
        return record

    def _walk(self, inode: int, list_file: bool, list_dir: bool, recursive: bool) -> Iterator[str | Path]:
        # A stack of our own, since trees may be deeper than Python's.
        stack: builtins.list[tuple[Iterator[int], Path | None]] = [(iter(self._children(inode)), None)]
        while stack:
            children, above = stack[-1]
            child = next(children, None)
            if child is None:
                stack.pop()
                continue
            name = decode_name(self.index.name(child))
            entry = name if above is None else above / name
            directory = self.index.is_directory(child)
            if list_dir if directory else list_file:
                yield entry
            if directory and recursive:
                stack.append((iter(self._children(child)), Path(entry)))

    def _children(self, inode: int) -> Sequence[int]:
        """The inodes in a folder, in the order in which it was packed."""
        children = self.index.children(inode)
        if in_name_order(self.index, children):
            return children
        folder: Any = self.structure
        for name in path_parts(self.index.path(inode)):
            folder = folder[decode_name(name)]
        return [self.index.lookup(inode, encode_name(name)) for name in folder]

    def _named(
        self, error: ChecksumError, paths: builtins.list[PathInArchive], numbers: builtins.list[int]
    ) -> ChecksumError:
        """The same error with the file's name in its text."""
        path = os.fspath(paths[numbers.index(error.record)])
        name = path if isinstance(path, str) else decode_name(path)
        return ChecksumError(error.path, f"{name}: {error.problem}", **error.facts)

    def _check_open(self) -> Shards:
        if self._shards is None:
            raise ValueError(f"the packed folder {self.path} is closed")
        return self._shards
