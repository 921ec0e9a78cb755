"""Archives as an fsspec file system, for pandas, pyarrow, Hugging Face datasets and all else that opens URLs by fsspec.

    fsspec.open("ffr://train2017/x.jpg::/data/coco.ffr")
    fsspec.filesystem("ffr", fo="/data/coco.ffr").ls("train2017")

Installed with pip, ffrfs makes the protocol `ffr` known by itself; from a checkout, import this module first.
Needs fsspec; may be called from any thread.
"""

from __future__ import annotations

import io
import os
from typing import Any, NoReturn

from fsspec import AbstractFileSystem, filesystem, register_implementation

from ffrfs.archive.folder import path_parts
from ffrfs.archive.shards import ArchivePath
from ffrfs.archive.shared import shared_folder
from ffrfs.errors import ConfigError, ReadOnlyError
from ffrfs.sources.opening import is_url

__all__ = ["FfrFileSystem"]


class FfrFileSystem(AbstractFileSystem):
    """A packed folder as a read-only file system of fsspec.

    Args: fo, the archive, a file, a folder of shards or a URL; target_protocol and target_options, of the file system
    that it is on, which fsspec gives for chained URLs; check_data, whether every file read is compared with its CRC32.
    Paths have no leading slash. Pickles as its arguments.
    Raises: ConfigError without an archive, or for options of a file system that cannot take them; OSError,
    ArchiveError.
    """

    protocol = "ffr"
    root_marker = ""
    cachable = False  # the archive itself is opened once for all; an instance costs little, and must not go stale

    def __init__(
        self,
        fo: ArchivePath = "",
        target_protocol: str | None = None,
        target_options: dict[str, Any] | None = None,
        check_data: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not fo:
            raise ConfigError("ffr:// needs the archive, as in ffr://path/in/archive::/folder/archive.ffr")
        archive = _place(os.fspath(fo), target_protocol, target_options or {})
        self._folder = shared_folder(archive, check_data).folder

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped = super()._strip_protocol(path)
        if isinstance(stripped, list):
            return stripped  # type: ignore[return-value]  # each was stripped by this method
        # One spelling for each file: callers make names on disk, patterns and keys out of paths.
        return b"/".join(path_parts(stripped)).decode("utf-8", "surrogateescape")

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """The name, size in bytes and type (`file` or `directory`) of what is at a path.

        Raises: FileNotFoundError, NotADirectoryError.
        """
        path = self._strip_protocol(path)
        if self._folder.is_dir(path):
            return {"name": path, "size": 0, "type": "directory"}
        return {"name": path, "size": self._folder.size(path), "type": "file"}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """What is in a directory, in the order of names, as `info` has it or, without detail, as paths; or the file.

        Raises: FileNotFoundError, NotADirectoryError.
        """
        path = self._strip_protocol(path)
        if self._folder.is_file(path):
            paths = [path]
        else:
            paths = [f"{path}/{name}" if path else str(name) for name in self._folder.list(path)]
        return [self.info(path) for path in paths] if detail else paths

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """The contents of a file, or the bytes from start to end of it, counted as in slices.

        Raises: FileNotFoundError, NotADirectoryError, IsADirectoryError; ChecksumError, TruncatedError, OSError.
        """
        return self._folder.read_one(self._strip_protocol(path))[start:end].tobytes()

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BytesIO:
        if mode != "rb":
            self._refuse(path)
        return io.BytesIO(self.cat_file(path))

    def _refuse(self, path: str, *arguments: Any, **options: Any) -> NoReturn:
        raise ReadOnlyError(f"cannot change {path}: {self._folder.path} is an .ffr archive, and those are read-only")

    mkdir = makedirs = rmdir = touch = cp_file = mv = _rm = rm = pipe_file = put_file = _refuse


def _place(archive: str, protocol: str | None, options: dict[str, Any]) -> str:
    """The path or URL of the archive; a path where a caching file system copies it to the local disk first."""
    if protocol in (None, "file", "local") and not is_url(archive):
        return filesystem("file")._strip_protocol(archive)  # type: ignore[no-any-return]
    home = filesystem(protocol, **options) if options else None
    if home is not None and getattr(home, "local_file", False):
        with home.open(archive, "rb") as copy:
            return copy.name  # type: ignore[no-any-return]
    if options:
        raise ConfigError(
            f"ffr:// takes no options for {protocol}://: set them in the environment, or copy the archive first, as in"
            f" ffr://path::simplecache::{protocol}://{archive}"
        )
    return archive if is_url(archive) else f"{protocol}://{archive}"


register_implementation(FfrFileSystem.protocol, FfrFileSystem, clobber=True)
