"""A folder to be packed, as it is found on disk: names, sizes and times, in the order in which it is packed.

That order is the reference's: the entries of a folder by name, a subfolder's content where its name stands, so that a
file's record number is its position in the walk. Names are bytes on disk and text, as UTF-8, in the archive, whatever
the locale is. They are compared as text with surrogateescape, as the reference does under UTF-8. Little is kept per
file (its name and 16 bytes), so a million files fit in 50 MB.
"""

from __future__ import annotations

import errno
import os
import pickle
import stat
import sys
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ffrfs.errors import PackError
from ffrfs.format.header import TREE_MAGIC
from ffrfs.format.names import decode_name, encode_name

__all__ = ["SourceFile", "SourceTree", "Symlinks", "scan_folder"]

Symlinks = Literal["follow", "skip", "error"]
_DirectoryId = tuple[int, int]  # device and inode

_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
_SHALLOW = 500  # folders below each other, up to which pickle needs no higher recursion limit


class SourceFile(NamedTuple):
    """A file to be packed, and what the scan saw of it."""

    path: bytes
    size_bytes: int
    mtime_ns: int


@dataclass(slots=True)
class _Directory:
    """names: its entries, joined by NUL, "" for none. subdirectories: position among the names, and directory."""

    names: str = ""
    first_record: int = 0
    end_record: int = 0
    subdirectories: list[tuple[int, _Directory]] = field(default_factory=list)

    def entries(self) -> Iterator[tuple[str, int | _Directory]]:
        """Names in order, each with its record number or its directory."""
        record = self.first_record
        directories = iter(self.subdirectories)
        position, directory = next(directories, (-1, self))
        # split makes new strings, as listdir does: equal names are one object, and so one reference in the pickle,
        # only where CPython itself shares them, which is for those of one Latin-1 character.
        for at, name in enumerate(self.names.split("\0") if self.names else ()):
            if at == position:
                yield name, directory
                record = directory.end_record
                position, directory = next(directories, (-1, self))
            else:
                yield name, record
                record += 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as the nested OrderedDict of the reference, without one being made."""
        return OrderedDict, (), None, None, self.entries()


class SourceTree:
    """What `scan_folder` found.

    Attributes: folder, its absolute path, empty for the root; sizes, mtimes_ns, by record number; depth, in folders.
    """

    def __init__(self, folder: bytes) -> None:
        self.folder = folder
        self.sizes = array("q")
        self.mtimes_ns = array("q")
        self.depth = 0
        self._top = _Directory()

    def __len__(self) -> int:
        """The number of files."""
        return len(self.sizes)

    def files(self) -> Iterator[SourceFile]:
        """The files in the order of their record numbers."""
        walks = [(self.folder, self._top.entries())]
        while walks:
            folder, entries = walks[-1]
            for name, entry in entries:
                path = b"%b/%b" % (folder, encode_name(name))
                if isinstance(entry, _Directory):
                    walks.append((path, entry.entries()))
                    break
                yield SourceFile(path, self.sizes[entry], self.mtimes_ns[entry])
            else:
                walks.pop()

    def record(self) -> bytes:
        """The archive's last record: the tree of names and record numbers, as the reference writes it.

        Source: HFAiLab/ffrecord package.py, with Python's default pickle protocol from 3.8 to 3.13.
        """
        limit = sys.getrecursionlimit()
        if self.depth > _SHALLOW:
            sys.setrecursionlimit(limit + 2 * self.depth)
        try:
            return TREE_MAGIC + pickle.dumps(self._top, protocol=4)
        finally:
            sys.setrecursionlimit(limit)


def scan_folder(folder: str, symlinks: Symlinks = "follow", output_folder: str | None = None) -> SourceTree:
    """Walk a folder that is to be packed.

    Args: folder; symlinks, whether one is packed as what it points to, left out, or an error; output_folder, where the
    archive will be, which must not be inside.
    Raises: PackError for what cannot be packed: anything but files and folders, symlinks that lead nowhere or in
    circles, the output folder; OSError, with the path, for what cannot be read.
    Cost: one stat per entry, two for a symlink.
    """
    try:
        return _Scan(folder, symlinks, output_folder).run()
    except OSError as error:
        if isinstance(error.filename, bytes):
            error.filename = os.fsdecode(error.filename)
        raise


class _Open(NamedTuple):
    """A directory in the middle of being scanned; names are those kept so far."""

    path: bytes
    identity: _DirectoryId
    directory: _Directory
    names: list[str]
    pending: Iterator[str]


class _Scan:
    def __init__(self, folder: str, symlinks: Symlinks, output_folder: str | None) -> None:
        self.tree = SourceTree(os.fsencode(os.path.abspath(folder)).rstrip(b"/"))
        self.symlinks = symlinks
        self.output = None if output_folder is None else _identity(os.stat(output_folder or "."))
        self.stack: list[_Open] = []
        self.ancestors: set[_DirectoryId] = set()

    def run(self) -> SourceTree:
        top, stack = self.tree.folder, self.stack
        status = os.stat(top or b"/")
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(top))
        self._enter(top, status, self.tree._top)
        while stack:
            path, identity, directory, names, pending = stack[-1]
            for name in pending:
                if self._add(b"%b/%b" % (path, encode_name(name)), name):
                    break  # a subdirectory, now on the stack
            else:
                directory.names = "\0".join(names)
                directory.end_record = len(self.tree)
                self.ancestors.remove(identity)
                stack.pop()
        return self.tree

    def _add(self, path: bytes, name: str) -> bool:
        """Add an entry to the directory on top of the stack; returns whether it is a directory, now the top."""
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            if self.symlinks == "skip":
                return False
            status = self._follow(path)
        names = self.stack[-1].names
        if stat.S_ISREG(status.st_mode):
            names.append(name)
            self.tree.sizes.append(status.st_size)
            self.tree.mtimes_ns.append(status.st_mtime_ns)
            return False
        if not stat.S_ISDIR(status.st_mode):
            kind = _SPECIAL.get(stat.S_IFMT(status.st_mode), "of an unknown kind")
            raise PackError(path, f"it is {kind}, and an archive holds only files and folders; move it away")
        names.append(name)
        directory = _Directory()
        self.stack[-1].directory.subdirectories.append((len(names) - 1, directory))
        self._enter(path, status, directory)
        return True

    def _enter(self, path: bytes, status: os.stat_result, directory: _Directory) -> None:
        identity = _identity(status)
        if identity in self.ancestors:
            raise PackError(path, "this symlink leads back to a folder that it is in; pack with symlinks skipped")
        if identity == self.output:
            raise PackError(path, "the archive would be written into the folder that it packs; write it elsewhere")
        directory.first_record = len(self.tree)
        self.ancestors.add(identity)
        names = sorted(map(decode_name, os.listdir(path or b"/")))
        self.stack.append(_Open(path, identity, directory, [], iter(names)))
        self.tree.depth = max(self.tree.depth, len(self.stack))

    def _follow(self, path: bytes) -> os.stat_result:
        target = os.fsdecode(os.readlink(path))
        if self.symlinks == "error":
            raise PackError(path, f"it is a symlink, to {target!r}, and symlinks were not to be packed")
        try:
            return os.stat(path)
        except OSError as error:
            problem = f"it is a symlink to {target!r}, which cannot be followed: {error.strerror}"
            raise PackError(path, f"{problem}; remove it, or pack with symlinks skipped") from None


def _identity(status: os.stat_result) -> _DirectoryId:
    return status.st_dev, status.st_ino
