"""`FFRecordClient`: the storage backend through which OpenMMLab's frameworks read an archive.

It derives from no framework's class, so it works without any; `registration` declares it to those that are installed.
May be called from any thread, and after a fork.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, overload

from ffrfs.archive.named import DEFAULT_NAMES_FILE, NamedRecords
from ffrfs.archive.prefix import PathPrefix, near_match
from ffrfs.archive.shared import SharedFolder, shared_folder, shared_records
from ffrfs.errors import ConfigError
from ffrfs.format.names import encode_name
from ffrfs.mm.readonly import FilePath, ReadOnlyBackend
from ffrfs.mm.uri import is_uri, split_path
from ffrfs.sources.opening import is_url

__all__ = ["FFRecordClient", "recorded_reads"]

_NO_PREFIX = PathPrefix()
_SUFFIX_CHARACTERS = 50  # at most four bytes each, of the 255 that a file name can have
_reads: ContextVar[dict[str, bool] | None] = ContextVar("_reads", default=None)


@contextmanager
def recorded_reads() -> Iterator[dict[str, bool]]:
    """Note which files are read in this block: paths as asked for, and whether each had been read ahead."""
    reads: dict[str, bool] = {}
    token = _reads.set(reads)
    try:
        yield reads
    finally:
        _reads.reset(token)


class FFRecordClient(ReadOnlyBackend):
    """Reads files of a packed folder, as HFAiLab's class of this name and as the frameworks' own disk backends do.

    Args: fname, the archive: an .ffr file or a URL of one, a folder of shards or a list of them; None: every path
    names its archive, as `ffrecord:///data/coco.ffr/train2017/x.jpg` does. path_prefix, the folder that is cut off the
    paths that configs build (their `data_root`), however spelled. check_data, whether every file read is compared with
    its CRC32.
    filename2idx, for a folder of shards with records instead of a packed folder: the file in it that has their names,
    by default filename2idx.pkl if there is one; paths are then looked up by their last part, whatever is before it.
    Making one costs a stat; the archive is opened when a process first reads it, once for all clients there. Pickles
    as its arguments.
    Raises: FileNotFoundError if there is no such archive; ConfigError for a prefix without an archive.
    Source: High-Flyer's documentation of hfai.utils.mm.FFRecordClient, for the arguments and their meaning.
    """

    _allow_symlink = False  # what mmcv 1.x asks a backend for before it links to the last checkpoint

    def __init__(
        self,
        fname: FilePath | Sequence[FilePath] | None = None,
        path_prefix: FilePath | None = None,
        check_data: bool = True,
        filename2idx: FilePath | None = None,
    ) -> None:
        self.fname, self.path_prefix, self.check_data = fname, path_prefix, check_data
        self.filename2idx = filename2idx
        self._prefix = PathPrefix(path_prefix)
        self._folders: dict[str | None, SharedFolder] = {}  # None: the archive that fname names
        self._closed = False
        if fname is None and path_prefix:
            raise ConfigError("FFRecordClient has a path_prefix but no archive: add fname='….ffr'")
        for path in [fname] if isinstance(fname, (str, os.PathLike)) else fname or ():
            if not is_url(path) and not os.path.exists(path):
                raise FileNotFoundError(errno.ENOENT, "no such archive; correct fname, or pack one", os.fspath(path))

    @property
    def name(self) -> str:
        """The class's name, as the frameworks' backends have it."""
        return type(self).__name__

    @property
    def allow_symlink(self) -> bool:
        """False: there can be no symbolic links in an archive."""
        return self._allow_symlink

    @overload
    def get(self, filepath: FilePath, **petrel_options: bool) -> bytes: ...
    @overload
    def get(self, filepath: list[FilePath] | tuple[FilePath, ...], **petrel_options: bool) -> list[bytes]: ...
    def get(
        self, filepath: FilePath | list[FilePath] | tuple[FilePath, ...], **petrel_options: bool
    ) -> bytes | list[bytes]:
        """The contents of a file; of a list of files, read as one batch.

        Args: petrel_options, such as enable_stream, which loaders written for petrel's client pass: without effect.
        Raises: FileNotFoundError with the archive and the path in it, NotADirectoryError, IsADirectoryError;
        ChecksumError, TruncatedError, OSError; ValueError if the client is closed.
        """
        if isinstance(filepath, (list, tuple)):
            return self._get_batch(filepath)
        folder, path = self._locate(filepath)
        reads = _reads.get()
        if reads is not None:
            reads[os.fspath(filepath)] = folder.is_ahead(path)
        try:
            return folder.read_one(path).tobytes()
        except FileNotFoundError:
            raise self._missing(filepath, folder, path) from None

    def get_text(self, filepath: FilePath, encoding: str = "utf-8") -> str:
        """The contents of a text file, line ends translated to \\n as by `open`. Raises: as `get`."""
        return io.TextIOWrapper(io.BytesIO(self.get(filepath)), encoding=encoding).read()

    def exists(self, filepath: FilePath) -> bool:
        """Whether there is a file or folder at this path."""
        found = self._find(filepath)
        return found is not None and found[0].folder.exists(found[1])

    def isdir(self, filepath: FilePath) -> bool:
        """Whether there is a folder at this path."""
        found = self._find(filepath)
        return found is not None and found[0].folder.is_dir(found[1])

    def isfile(self, filepath: FilePath) -> bool:
        """Whether there is a file at this path."""
        found = self._find(filepath)
        return found is not None and found[0].folder.is_file(found[1])

    def join_path(self, filepath: FilePath, *filepaths: FilePath) -> str:
        """Join paths as os.path.join does; a URI is an absolute path."""
        paths = [os.fspath(path) for path in (filepath, *filepaths)]
        last = max((number for number, path in enumerate(paths) if is_uri(path)), default=0)
        return os.path.join(*paths[last:])

    @contextmanager
    def get_local_path(self, filepath: FilePath) -> Iterator[str]:
        """A file that the operating system can open: a temporary copy, removed when the `with` block ends.

        A path that the archive does not have but the disk has is given back as it is, since annotation files often
        lie beside an archive of images and mmdet 2 asks one client for both. Raises: as `get`.
        """
        if not self.isfile(filepath) and os.path.isfile(filepath):
            yield os.fspath(filepath)
            return
        data = self.get(filepath)
        # The end of the name, with its extension: the whole one may leave no room for what makes it unique.
        end = os.path.basename(filepath)[-_SUFFIX_CHARACTERS:]
        with tempfile.NamedTemporaryFile(suffix="-" + os.fsdecode(encode_name(end))) as copy:
            copy.write(data)
            copy.flush()
            yield copy.name

    def list_dir_or_file(
        self,
        dir_path: FilePath,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        """Paths below a folder, relative to it, in the order of names; files whose names begin with a dot left out.

        Args: list_dir, list_file, what to name; suffix, how a file's name must end, only with list_dir=False;
        recursive, whether to go down. Raises: TypeError for a suffix that cannot be; FileNotFoundError,
        NotADirectoryError.
        """
        if list_dir and suffix is not None:
            raise TypeError("a suffix needs list_dir=False: only files have one")
        if suffix is not None and not isinstance(suffix, (str, tuple)):
            raise TypeError(f"suffix is a str or a tuple of them, not a {type(suffix).__name__}")
        shared, path = self._locate(dir_path)
        folder = shared.folder
        try:
            entries = folder.list(path, list_file, list_dir, recursive)
        except FileNotFoundError:
            raise self._missing(dir_path, shared, path) from None
        return (
            entry
            for entry in map(str, entries)
            if (suffix is None or entry.endswith(suffix))
            and not (os.path.basename(entry).startswith(".") and folder.is_file(f"{path}/{entry}"))
        )

    def copyfile_to_local(self, src: FilePath, dst: FilePath) -> str:
        """Write a file of the archive to the disk. Args: dst, a file or a folder. Returns: the file written."""
        target = os.fspath(dst)
        if os.path.isdir(dst):
            target = os.fsdecode(os.path.join(os.fsencode(dst), encode_name(os.path.basename(src))))
        Path(target).write_bytes(self.get(src))
        return target

    def copytree_to_local(self, src: FilePath, dst: FilePath) -> str:
        """Write a folder of the archive to the disk. Args: dst, a folder that does not exist yet. Returns: dst."""
        shared, path = self._locate(src)
        try:
            entries = list(map(str, shared.folder.list(path, recursive=True)))
        except FileNotFoundError:
            raise self._missing(src, shared, path) from None
        os.makedirs(dst)
        for entry in entries:
            target = os.fsdecode(os.path.join(os.fsencode(dst), encode_name(entry)))
            if shared.folder.is_dir(f"{path}/{entry}"):
                os.mkdir(target)
            else:
                Path(target).write_bytes(shared.folder.read_one(f"{path}/{entry}"))
        return os.fspath(dst)

    def read_ahead(self, filepaths: Sequence[str]) -> list[str]:
        """Read files as one batch and keep them until the next call, for the `get` of any client in this process.

        Returns: those of the paths that the archive does not have as files.
        """
        batches, others = self._by_archive(filepaths)
        for folder, paths in batches.items():
            folder.read_ahead(paths)
        return others

    def announce(self, filepaths: Sequence[str]) -> list[str]:
        """Have the kernel read files ahead, for all processes; returns those that the archive does not have."""
        batches, others = self._by_archive(filepaths)
        for folder, paths in batches.items():
            folder.prefetch(paths)
        return others

    def _by_archive(self, filepaths: Sequence[str]) -> tuple[dict[SharedFolder, list[str]], list[str]]:
        """The files of each archive, and the paths that are in none."""
        batches: dict[SharedFolder, list[str]] = {}
        others = []
        for filepath in filepaths:
            found = self._find(filepath)
            if found is not None and found[0].folder.is_file(found[1]):
                batches.setdefault(found[0], []).append(found[1])
            else:
                others.append(filepath)
        return batches, others

    def close(self) -> None:
        """End this client: reading raises ValueError from now on. Other clients of the archive go on."""
        self._folders, self._closed = {}, True

    def __enter__(self) -> FFRecordClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.fname, self.path_prefix, self.check_data, self.filename2idx)

    def __repr__(self) -> str:
        names = f", filename2idx={self.filename2idx!r}" if self.filename2idx else ""
        return f"{self.name}({self.fname!r}, path_prefix={self.path_prefix!r}, check_data={self.check_data}{names})"

    def _get_batch(self, filepaths: Sequence[FilePath]) -> list[bytes]:
        batches: dict[SharedFolder, list[tuple[int, str]]] = {}
        for number, filepath in enumerate(filepaths):
            folder, path = self._locate(filepath)
            if not folder.folder.exists(path):
                raise self._missing(filepath, folder, path)
            batches.setdefault(folder, []).append((number, path))
        contents = [b""] * len(filepaths)
        for folder, members in batches.items():
            for (number, _), data in zip(members, folder.folder.read([path for _, path in members]), strict=True):
                contents[number] = data.tobytes()
        return contents

    def _locate(self, filepath: FilePath) -> tuple[SharedFolder, str]:
        """The archive and the path in it. Raises: FileNotFoundError for a path outside; OSError, ArchiveError."""
        if self._closed:
            raise ValueError(f"this client is closed: {self!r}")
        spelled = os.fspath(filepath)
        if self.fname is None or is_uri(spelled):
            archive, path = split_path(spelled)
            folder, inside = self._open(archive), _NO_PREFIX.cut(path)
        else:
            folder = self._open(None)
            inside = spelled if isinstance(folder.folder, NamedRecords) else self._prefix.cut(spelled)
        if inside is None:
            raise self._missing(filepath, folder, None)
        return folder, inside

    def _find(self, filepath: FilePath) -> tuple[SharedFolder, str] | None:
        """As `_locate`, but None for a path that is outside, or in no archive that exists."""
        try:
            return self._locate(filepath)
        except (FileNotFoundError, ConfigError):
            return None

    def _open(self, archive: str | None) -> SharedFolder:
        folder = self._folders.get(archive)
        if folder is None:
            names = self._names_file() if archive is None else None
            if names is not None and isinstance(self.fname, (str, os.PathLike)):
                folder = shared_records(self.fname, names, self.check_data)
            else:
                folder = shared_folder(archive or self.fname or (), self.check_data)
            self._folders[archive] = folder
        return folder

    def _names_file(self) -> FilePath | None:
        """The file with the names of records, if this is an archive that has them there."""
        if self.filename2idx is not None or not isinstance(self.fname, (str, os.PathLike)):
            return self.filename2idx
        return DEFAULT_NAMES_FILE if os.path.isfile(os.path.join(self.fname, DEFAULT_NAMES_FILE)) else None

    def _missing(self, filepath: FilePath, shared: SharedFolder, path: str | None) -> FileNotFoundError:
        """The error for a path that is not in the archive, with the one that may have been meant.

        Args: filepath, as asked for; path, as looked for in the archive, None if it is outside.
        """
        spelled, folder = os.fspath(filepath), shared.folder
        wanted = (spelled if path is None else path).lstrip("/")
        reason = "no such file in the archive"
        if path is None and self.path_prefix:
            reason = f"not below path_prefix {os.fspath(self.path_prefix)!r}, so not in the archive"
        near = near_match(wanted, folder.exists, list(map(str, folder.list(list_file=False))))
        if near is not None:
            reason += f", which has {near!r}; is path_prefix right?"
        return FileNotFoundError(errno.ENOENT, reason, f"{folder.path}/{wanted}")
