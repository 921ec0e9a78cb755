"""LMDB environments: a key is a path, its value the contents."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ffrfs.errors import PackError
from ffrfs.pack.sources.member import Member, failures_named, missing_package

__all__ = ["LmdbSource"]


class LmdbSource:
    """The main database of an environment, in the order of its keys. Args: path, its folder, or its only file."""

    ordered = False

    def __init__(self, path: str) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise missing_package(path, error) from None
        self.path, self._failure = path, lmdb.Error
        with failures_named(path, lmdb.Error):
            self._environment = lmdb.open(
                path, subdir=os.path.isdir(path), readonly=True, lock=False, readahead=False, create=False
            )

    def members(self) -> Iterator[Member]:
        with failures_named(self.path, self._failure), self._environment.begin(buffers=True) as transaction:
            for key, value in transaction.cursor():
                yield Member(bytes(key), len(value))

    def read(self, member: Member) -> Iterator[memoryview]:
        with failures_named(self.path, self._failure), self._environment.begin(buffers=True) as transaction:
            value = transaction.get(member.name or b"")
            if value is None:
                raise PackError(self.path, f"{member.name!r} vanished while it was packed; nothing was written")
            yield value

    def close(self) -> None:
        self._environment.close()
