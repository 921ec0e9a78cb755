"""Parquet files of images, as Hugging Face's datasets stores them: a struct of `bytes` and `path` for each image."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from ffrfs.errors import PackError
from ffrfs.pack.sources.member import Member, failures_named, missing_package

__all__ = ["ParquetSource"]

logger = logging.getLogger(__name__)

_BATCH_ROWS = 128


class ParquetSource:
    """The images of a parquet file, row by row. With one column of images their paths are the names; with several,
    each has a folder called as its column. Args: path."""

    ordered = True  # a row group is decoded as a whole

    def __init__(self, path: str) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise missing_package(path, error) from None
        self.path, self._failures = path, (pyarrow.ArrowException, pyarrow.lib.ArrowInvalid)
        with failures_named(path, *self._failures):
            self._file = pyarrow.parquet.ParquetFile(path)
        self._columns = [field.name for field in self._file.schema_arrow if _holds_files(pyarrow, field.type)]
        if not self._columns:
            raise PackError(path, "it has no column of images, that is of bytes, or of structs with bytes and a path")
        others = [name for name in self._file.schema_arrow.names if name not in self._columns]
        if others:
            logger.warning("%s: the columns %s are left out: only images become files", path, ", ".join(others))
        self._rows: Iterator[tuple[Member, memoryview]] | None = None

    def members(self) -> Iterator[Member]:
        return (member for member, _ in self._images())

    def read(self, member: Member) -> Iterator[memoryview]:
        if self._rows is None:
            self._rows = self._images()
        for found, data in self._rows:
            if found.place == member.place:
                yield data
                return

    def close(self) -> None:
        self._rows = None
        self._file.close()

    def _images(self) -> Iterator[tuple[Member, memoryview]]:
        row = 0
        with failures_named(self.path, *self._failures):
            for batch in self._file.iter_batches(_BATCH_ROWS, columns=self._columns):
                columns = [batch.column(name) for name in self._columns]
                for at in range(len(batch)):
                    for name, column in zip(self._columns, columns, strict=True):
                        folder = f"{name}/".encode() if len(columns) > 1 else b""
                        yield self._image(column[at], folder, (row, name))
                    row += 1

    def _image(self, value: Any, folder: bytes, place: tuple[int, str]) -> tuple[Member, memoryview]:
        path = None
        if hasattr(value, "keys"):
            path = value["path"].as_py() if "path" in value else None
            value = value["bytes"]
        if not value.is_valid:
            row, column = place
            raise PackError(self.path, f"row {row} has no bytes in column {column}, so it cannot be a file")
        data = memoryview(value.as_buffer())
        name = folder + path.encode("utf-8", "surrogateescape") if path else None
        return Member(name, len(data), place, folder), data


def _holds_files(pyarrow: Any, kind: Any) -> bool:
    types = pyarrow.types
    if types.is_struct(kind):
        names = [kind.field(at).name for at in range(kind.num_fields)]
        return "bytes" in names and _holds_files(pyarrow, kind.field(names.index("bytes")).type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))
