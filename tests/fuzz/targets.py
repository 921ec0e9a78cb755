"""What is fuzzed: reading a header, a tree and an index, and answering requests of FUSE, each from any bytes.

A target takes bytes and returns; it raises if something other than the one allowed error came out, or if what was
accepted breaks a promise. Checksums are made right first, else nothing would get past them. No part of this knows the
fuzzer, so that the test suite runs the same targets on known inputs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import numpy as np

from ffrfs import ArchiveError, ChecksumError
from ffrfs.archive.index_file import UnusableIndexFile, read_index_file, save_index_file
from ffrfs.archive.opening import build
from ffrfs.archive.reader import FileReader
from ffrfs.archive.shards import Shards
from ffrfs.format.index import ROOT_INODE, Index
from ffrfs.format.tree import MAX_DEPTH, MAX_NAME_BYTES
from tests.data.make_corrupt import FOLDER, LYING, RECORDS, open_for_index, right_arrays
from tests.support.archives import TREE_MAGIC, archive_of, packed_folder
from tests.support.kernel import WITHOUT_REPLY, Kernel, right_requests

__all__ = ["TARGETS", "WORDS", "Targets", "check_index", "seeds", "unpickled"]

_TREE = {b"a": b"contents", b"d": {b"x\xff": b"", b"caf\xc3\xa9": b"more", b"e": {}}, b"z" * 255: b"last"}
_INDEX_PREFIX = struct.Struct("<8sIII")  # magic, version, size and CRC32 of the JSON header
_MAX_REPLY_SECONDS = 5  # of a thread
_LOOKED_AT = 2000  # rows of an accepted index; a tree of more differs in nothing else


class Targets:
    """The targets, with a folder in memory for the file that each input becomes.

    The archive of the `index` target is always the same; its index is the input.
    """

    def __init__(self) -> None:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(dir=memory)
        self._file = os.path.join(self._folder.name, "input.ffr")
        self._good = open_for_index(Path(self._folder.name))
        self._stamps = [list(astuple(self._good.stamp(0)))]
        self._kernel = Kernel(self._good.path)

    def close(self) -> None:
        """Remove the folder."""
        self._good.close()
        self._kernel.close()
        self._folder.cleanup()

    def header(self, data: bytes) -> None:
        """A whole archive: opened, walked, and all its records read."""
        self._write(_with_right_header_checksum(data))
        self._build()
        try:
            with FileReader(self._file) as reader:
                for number in range(reader.n):
                    with contextlib.suppress(ChecksumError):
                        reader.read_one(number)
        except ArchiveError:
            pass

    def tree(self, data: bytes) -> None:
        """A pickled tree, in an archive that is right otherwise; what is accepted is what pickle would make of it."""
        self._write(archive_of([*RECORDS, TREE_MAGIC + data]))
        index = self._build()
        expected = unpickled(data) if index is not None else None
        if index is not None and expected is not None:
            found = {index.path(inode): max(index.record(inode), -1) for inode in index.walk()}
            assert found == expected, "the tree is not the one that was pickled"

    def index(self, data: bytes) -> None:
        """An index of the archive; what is accepted is a tree, in which every name is found."""
        data = self._with_right_index_checksums(data)
        self._write(data)
        os.chmod(self._file, 0o600)
        with contextlib.suppress(UnusableIndexFile):
            check_index(read_index_file(self._file, self._good))

    def wire(self, data: bytes) -> None:
        """Requests, one behind the other as their lengths say; each gets one right reply, or none."""
        while len(data) >= 4:
            size = max(min(int.from_bytes(data[:4], "little"), len(data)), 4)
            request, data = data[:size], data[size:]
            size, opcode, unique = struct.unpack_from("<IIQ", request.ljust(16, b"\0"))
            is_right = size == len(request) and size >= 40 and unique > 0  # 0: as a notification
            expected = is_right and opcode not in WITHOUT_REPLY
            replies = self._kernel.answers(request, _MAX_REPLY_SECONDS if expected else 0)
            if is_right:
                assert len(replies) == expected, "a request without a reply, or with two"
                assert all(reply[0] == unique for reply in replies), "another request's reply"
        assert self._kernel.state.totals()["internal_errors"] == 0, "an exception that nobody expected"

    def index_seed(self) -> bytes:
        """The right index of the archive."""
        path = save_index_file(Index(right_arrays(self._good)), self._good)
        assert path is not None
        return Path(path).read_bytes()

    def _write(self, data: bytes) -> None:
        with open(self._file, "wb") as file:
            file.write(data)

    def _build(self) -> Index | None:
        shards = Shards(self._file)
        try:
            index = build(shards)
        except ArchiveError:
            return None
        finally:
            shards.close()
        check_index(index)
        return index

    def _with_right_index_checksums(self, data: bytes) -> bytes:
        """The same index with checksums and stamps made right, where its header can be read at all."""
        if len(data) < _INDEX_PREFIX.size:
            return data
        magic, version, size, _ = _INDEX_PREFIX.unpack_from(data)
        text, payload = data[_INDEX_PREFIX.size :][:size], data[_INDEX_PREFIX.size + size :]
        with contextlib.suppress(ValueError, RecursionError):
            header = json.loads(text)
            if isinstance(header, dict):
                header["stamps"] = self._stamps
                for name, dtype in Index.ARRAYS.items():
                    with contextlib.suppress(KeyError, TypeError, ValueError, IndexError):
                        offset, count, _ = header["arrays"][name]
                        end = offset + count * np.dtype(dtype).itemsize
                        header["arrays"][name][2] = zlib.crc32(data[offset:end])
                same = json.dumps(header).encode()
                text = same.ljust(len(text)) if len(same) <= len(text) else text
        return _INDEX_PREFIX.pack(magic, version, size, zlib.crc32(text)) + text + payload


TARGETS: dict[str, Callable[[Targets, bytes], None]] = {
    "header": Targets.header,
    "tree": Targets.tree,
    "index": Targets.index,
    "wire": Targets.wire,
}

# Sequences of bytes that mean something, for the fuzzer to put into its inputs.
WORDS = {
    "header": [TREE_MAGIC, *(struct.pack("<q", number) for number in (-1, 0, 1, 24, 36, 2**31, 2**62, 2**63 - 1))],
    "tree": [
        b"\x80\x04", b"\x95" + bytes(8), b"\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94",
        b"ccollections\nOrderedDict\n", b")R", b"(", b"u", b"s", b"u.", b"h\x00", b"h\x01", b"j\x00\x00\x00\x00",
        b"q\x00", b"r\x00\x00\x00\x00", b"\x94", b"\x8c\x01a", b"\x8c\x01a\x94K\x00", b"X\x01\x00\x00\x00a", b"K\x00",
        b"M\x00\x00", b"J\x00\x00\x00\x00", b"..", b"/", b"\xed\xb3\xbf", b"\xed\xa0\x80",
    ],
    "index": [
        *(f'"{name}": [0, 0, 0]'.encode() for name in Index.ARRAYS), b'"arrays"', b"null", b"-1", b"1e9", b"[[", b"{",
    ],
    "wire": [struct.pack("<IIQQIIIHH", 40, opcode, 1, 1, 0, 0, 0, 0, 0) for opcode in range(1, 53)],
}  # fmt: skip


def seeds(target: str) -> list[bytes]:
    """Inputs to begin with: right ones, and the corpus of wrong ones."""
    corpus = [path.read_bytes() for path in sorted(FOLDER.glob("*.ffr")) if path.stat().st_size < 4096]
    if target == "header":
        return [packed_folder(_TREE), archive_of([]), archive_of([b"", b"one"]), *corpus]
    if target == "tree":
        names = OrderedDict(a=0, d=OrderedDict(a=1, b=OrderedDict()), **{"\udcff": 2})
        right = [pickle.dumps(tree, protocol) for tree in (names, OrderedDict()) for protocol in range(2, 6)]
        return right + [data.partition(TREE_MAGIC)[2] for data in corpus if TREE_MAGIC in data]
    if target == "wire":
        return [*right_requests(), b"".join(right_requests())]
    targets = Targets()
    try:
        return [targets.index_seed(), *(path.read_bytes() for path in sorted(LYING.glob("*.index")))]
    finally:
        targets.close()


def _with_right_header_checksum(data: bytes) -> bytes:
    if len(data) < 12:
        return data
    size = 12 + 12 * int.from_bytes(data[4:12], "little", signed=True)
    return struct.pack("<I", zlib.crc32(data[4:size])) + data[4:] if 12 <= size <= len(data) else data


def check_index(index: Index) -> None:
    """What holds of every index that is built, whatever the archive was."""
    inodes = list(index.walk())
    assert sorted(inodes) == list(range(ROOT_INODE + 1, len(index) + 1)), "not every row is found once"
    for inode in inodes[:_LOOKED_AT]:
        name = index.name(inode)
        assert 1 <= len(name) <= MAX_NAME_BYTES and name not in (b".", b".."), "not a valid name"
        assert b"/" not in name and b"\0" not in name, "not a valid name"
        assert index.lookup(index.parent(inode), name) == inode, "a name is not found"
        assert index.path(inode).count(b"/") <= MAX_DEPTH, "too deep"
        if not index.is_directory(inode):
            index.records.extent(index.record(inode))


class _OnlyTrees(pickle.Unpickler):
    """Unpickles nothing but OrderedDicts, strings and numbers."""

    def find_class(self, module: str, name: str) -> type:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name}")


def unpickled(data: bytes) -> dict[bytes, int] | None:
    """Path and record number (-1: a directory) of all entries of a tree, by Python's pickle; None if it has none.

    Only for what our parser accepted: pickle itself has no bound on what it allocates.
    """
    try:
        root = _OnlyTrees(io.BytesIO(data)).load()
    except Exception:  # it raises anything
        return None
    found: dict[bytes, int] = {}
    waiting = [(b"", root)]
    while waiting:
        above, directory = waiting.pop()
        for name, value in directory.items():
            path = above + name.encode("utf-8", "surrogateescape")
            found[path] = value if isinstance(value, int) else -1
            if not isinstance(value, int):
                waiting.append((path + b"/", value))
    return found
