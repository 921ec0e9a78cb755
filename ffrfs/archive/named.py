"""Records of shards by names that lie in a file beside them, as HFAiLab's converters of nuScenes write them.

What the tree is to a packed folder, `filename2idx.pkl` is here: a pickled dictionary of names and record numbers. The
class offers what the mm backend asks of a `PackedFolder`.
"""

from __future__ import annotations

import builtins
import errno
import os
from collections.abc import Iterable

from ffrfs.archive.folder import Bytes, PathInArchive
from ffrfs.archive.reader import FileReader
from ffrfs.archive.shards import ArchivePath
from ffrfs.errors import FormatError
from ffrfs.format.named_records import parse_named_records

__all__ = ["DEFAULT_NAMES_FILE", "NamedRecords"]

DEFAULT_NAMES_FILE = "filename2idx.pkl"


class NamedRecords:
    """The records of a folder of shards, by name.

    Args: folder, with the shards; names_file, the dictionary, relative to the folder; check_data, as for `FileReader`.
    A path means the record that has this path as its name, or else the same last part, since the converters' configs
    keep a `data_root` in front that has nothing to do with the archive.
    Raises: OSError, ArchiveError; FormatError if the file is no such dictionary.
    Source: HFAiLab/BEVFormer and ffrecord_converters, FFrecordClient, which look at the last part only.
    """

    def __init__(self, folder: ArchivePath, names_file: ArchivePath, check_data: bool = True) -> None:
        self.path, self.check_data = os.fspath(folder), check_data
        self._reader = FileReader(folder, check_data)
        file = os.path.join(folder, names_file)
        with open(file, "rb") as opened:
            self._records = parse_named_records(file, opened.read(), self._reader.n)
        self._by_last_part: dict[str, int] = {}
        for name, record in self._records.items():
            last = os.path.basename(name)
            self._by_last_part[last] = record if self._by_last_part.get(last, record) == record else -1

    def exists(self, path: PathInArchive) -> bool:
        """Whether a record has this name."""
        return self._find(path) >= 0

    is_file = exists

    def is_dir(self, path: PathInArchive) -> bool:
        """Whether this is the root: there are no other folders."""
        return os.fsdecode(path).strip("/.") == ""

    def list(
        self, path: PathInArchive = "", list_file: bool = True, list_dir: bool = True, recursive: bool = False
    ) -> builtins.list[str]:
        """All names, in the order of the dictionary. Raises: NotADirectoryError, FileNotFoundError."""
        if not self.is_dir(path):
            kind = NotADirectoryError if self.exists(path) else FileNotFoundError
            number = errno.ENOTDIR if self.exists(path) else errno.ENOENT
            raise kind(number, os.strerror(number), f"{self.path}/{os.fsdecode(path)}")
        return builtins.list(self._records) if list_file else []

    def size(self, path: PathInArchive) -> int:
        """The size in bytes of a record. Raises as `read_one`."""
        return self._reader.size(self._record(path))

    def read_one(self, path: PathInArchive) -> Bytes:
        """The contents of a record, uint8, shape (size,). Raises: FileNotFoundError; as `FileReader.read_one`."""
        return self._reader.read_one(self._record(path))

    def read(self, paths: Iterable[PathInArchive]) -> builtins.list[Bytes]:
        """The contents of many records, read as one batch. Raises: as `read_one`."""
        return self._reader.read([self._record(path) for path in paths])

    def prefetch(self, paths: Iterable[PathInArchive]) -> None:
        """Say that these records will be read soon. Names that no record has are passed over."""
        self._reader.prefetch([record for path in paths if (record := self._find(path)) >= 0])

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    def _find(self, path: PathInArchive) -> int:
        """The record of a path; -1 if there is none, or more than one."""
        name = os.fsdecode(path)
        record = self._records.get(name)
        return self._by_last_part.get(os.path.basename(name), -1) if record is None else record

    def _record(self, path: PathInArchive) -> int:
        record = self._find(path)
        if record >= 0:
            return record
        name = os.fsdecode(path)
        if os.path.basename(name) in self._by_last_part:
            raise FormatError(self.path, f"several records end in {os.path.basename(name)!r}: ask by a whole name")
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.path}/{name}")
