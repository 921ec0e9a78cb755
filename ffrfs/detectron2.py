"""detectron2 reads from an archive: a path handler for iopath, through which detectron2 opens all its files.

    from ffrfs.detectron2 import register_ffrecord_handler
    register_ffrecord_handler("datasets/coco/coco.ffr", ffr_prefix="coco")

From then on `datasets/coco/train2017/x.jpg` is `train2017/x.jpg` of the archive. What the archive does not have is read
from the disk, such as annotation files kept beside it. Needs iopath, which detectron2 brings; no other framework.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import weakref
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from iopath.common.file_io import NativePathHandler

from ffrfs.archive.folder import path_parts
from ffrfs.archive.prefix import PathPrefix
from ffrfs.archive.shards import ArchivePath
from ffrfs.archive.shared import shared_folder
from ffrfs.errors import ReadOnlyError

__all__ = ["FFRecordPathHandler", "register_ffrecord_handler"]


class FFRecordPathHandler(NativePathHandler):
    """Shows a packed folder at a path of the disk, over what the disk has there.

    Args: archive and check_data, as for `PackedFolder`; root, the path.
    The methods are iopath's, called through its PathManager.
    Raises: OSError, ArchiveError if the archive cannot be opened.
    """

    def __init__(self, archive: ArchivePath, root: str, check_data: bool = True) -> None:
        super().__init__()
        self._folder = shared_folder(archive, check_data).folder
        self._root, self._prefix = os.path.normpath(root), PathPrefix(root)
        self._copies = ""  # the folder of `_get_local_path`, once it is made

    def _inside(self, path: str) -> str | None:
        """The path in the archive, or None if the archive does not have it."""
        inside = self._prefix.cut(os.fspath(path))
        return inside if inside is not None and self._folder.exists(inside) else None

    def _get_supported_prefixes(self) -> list[str]:
        return [self._root, os.path.join(".", self._root), os.path.abspath(self._root)]

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **options: Any) -> IO[Any]:
        inside = self._inside(path)
        if inside is None:
            return super()._open(path, mode, buffering, **options)  # type: ignore[no-any-return]
        if set(mode) & set("wax+"):
            raise self._read_only(f"cannot write {path}")
        content = io.BytesIO(self._folder.read_one(inside))
        if "b" in mode:
            return content
        text = {name: options.get(name) for name in ("encoding", "errors", "newline")}
        return io.TextIOWrapper(content, **text)  # type: ignore[arg-type]

    def _get_local_path(self, path: str, force: bool = False, **options: Any) -> str:
        inside = self._inside(path)
        if inside is None or self._folder.is_dir(inside):
            return super()._get_local_path(path, force=force, **options)  # type: ignore[no-any-return]
        if not self._copies:
            self._copies = tempfile.mkdtemp(prefix="ffrfs-")
            weakref.finalize(self, shutil.rmtree, self._copies, ignore_errors=True)
        # Joined from names, none of which leads out of the folder: Path(folder, "/etc") would be /etc.
        copy = Path(self._copies, *map(os.fsdecode, path_parts(inside)))
        if force or not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(self._folder.read_one(inside))
        return str(copy)

    def _exists(self, path: str, **options: Any) -> bool:
        return self._inside(path) is not None or super()._exists(path, **options)

    def _isfile(self, path: str, **options: Any) -> bool:
        inside = self._inside(path)
        return super()._isfile(path, **options) if inside is None else self._folder.is_file(inside)

    def _isdir(self, path: str, **options: Any) -> bool:
        inside = self._inside(path)
        return super()._isdir(path, **options) if inside is None else self._folder.is_dir(inside)

    def _ls(self, path: str, **options: Any) -> list[str]:
        inside = self._inside(path)
        packed = set() if inside is None else set(map(str, self._folder.list(inside)))
        on_disk = set(super()._ls(path, **options)) if inside is None or os.path.isdir(path) else set()
        return sorted(packed | on_disk)

    def _rm(self, path: str, **options: Any) -> None:
        if self._inside(path) is not None:
            raise self._read_only(f"cannot remove {path}")
        super()._rm(path, **options)

    def _read_only(self, problem: str) -> ReadOnlyError:
        return ReadOnlyError(f"{problem}: it is in {self._folder.path}, and an .ffr archive is read-only")


def register_ffrecord_handler(
    ffr_file: ArchivePath,
    ffr_prefix: str | None = None,
    local_prefix: str = "datasets",
    check_data: bool = True,
    path_manager: Any = None,
) -> FFRecordPathHandler:
    """Have detectron2 read `local_prefix/ffr_prefix` from an archive.

    Args: ffr_file, the archive; ffr_prefix, what data sets call the packed folder (None: the archive holds all of
    `local_prefix`); local_prefix, where detectron2 looks for data sets, DETECTRON2_DATASETS where that is set;
    check_data, whether every file read is compared with its CRC32; path_manager, where to register, by default with
    detectron2's own, or where that is not installed with iopath's.
    Returns: the handler. Raises: OSError, ArchiveError if the archive cannot be opened.
    Source: High-Flyer's documentation of hfai.utils.detr2, for the first three arguments.
    """
    handler = FFRecordPathHandler(ffr_file, os.path.join(local_prefix, ffr_prefix or ""), check_data)
    if path_manager is None:
        try:
            path_manager = import_module("detectron2.utils.file_io").PathManager
        except ImportError:
            path_manager = import_module("iopath.common.file_io").g_pathmgr
    path_manager.register_handler(handler)
    return handler
