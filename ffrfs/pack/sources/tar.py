"""Tar archives, compressed or not, and so the shards of WebDataset."""

from __future__ import annotations

import contextlib
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator

from ffrfs.errors import PackError
from ffrfs.pack.sources.member import (
    DIRECTORY,
    PART_BYTES,
    Member,
    Symlinks,
    failures_named,
    file_parts,
    symlink_error,
)

__all__ = ["TarSource"]

_FAILURES = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)
_SPECIAL = {
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
}


class _StrictTarInfo(tarfile.TarInfo):
    """tarfile takes a damaged header for the end of the archive, and files would be missing without a word."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _StrictTarInfo:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"at byte {tarfile_.offset}: {error}") from error


class TarSource:
    """A tar. The files of one that is not compressed are read by any thread, where they lie; a compressed one is
    decompressed twice, once for the names. Args: path; symlinks, `skip` leaves them out, else they are an error."""

    def __init__(self, path: str, symlinks: Symlinks) -> None:
        self.path, self._symlinks = path, symlinks
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.ordered = not self._is_plain()
        self._stream: Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]] | None = None

    def members(self) -> Iterator[Member]:
        for _, info in self._headers():
            name = _bytes(info.name)
            if info.issym():
                if self._symlinks != "skip":
                    raise symlink_error(self.path, info.name)
            elif info.isdir():
                yield Member(name, DIRECTORY)
            elif info.islnk():
                yield self._linked(info)
            elif info.isreg():
                yield Member(name, info.size, info.offset_data)
            else:
                kind = _SPECIAL.get(info.type, f"of type {info.type!r}")
                raise PackError(self.path, f"{info.name} is {kind}, and an archive holds only files and folders")

    def read(self, member: Member) -> Iterator[bytes]:
        if not self.ordered:
            yield from file_parts(self._fd, self.path, member.place, member.size_bytes)
            return
        if self._stream is None:
            self._stream = self._headers()
        for tar, info in self._stream:
            if info.offset_data == member.place and info.isreg():
                with failures_named(self.path, *_FAILURES):
                    file = tar.extractfile(info)
                    while file is not None and (part := file.read(PART_BYTES)):
                        yield part
                return

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()  # type: ignore[attr-defined]
        os.close(self._fd)

    def _is_plain(self) -> bool:
        """Whether each file's bytes lie in the tar as they are."""
        with contextlib.suppress(tarfile.TarError), self._opened("r:") as tar:
            return not any(info.issparse() for info in _infos(tar))
        return False

    def _opened(self, mode: str) -> tarfile.TarFile:
        return tarfile.open(  # type: ignore[call-overload, no-any-return]
            self.path, mode, tarinfo=_StrictTarInfo, encoding="utf-8", errors="surrogateescape"
        )

    def _headers(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        with failures_named(self.path, *_FAILURES), self._opened("r|*" if self.ordered else "r:") as tar:
            yield from ((tar, info) for info in _infos(tar))

    def _linked(self, link: tarfile.TarInfo) -> Member:
        """A hard link: a file with the contents of an earlier one."""
        if self.ordered:
            raise PackError(
                self.path, f"{link.name} is a hard link, which needs a tar that is not compressed; decompress it first"
            )
        for _, info in self._headers():
            if info.isreg() and info.name == link.linkname:
                return Member(_bytes(link.name), info.size, info.offset_data)
        raise PackError(self.path, f"{link.name} is a hard link to {link.linkname}, which is not in it")


def _infos(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (info := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # or it would keep all of them
        yield info


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
