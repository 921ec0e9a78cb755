"""The corpus of damaged and hostile archives: one file for each kind of damage, always the same bytes.

    python -m tests.data.make_corrupt        writes tests/data/corrupt/*.ffr and tests/data/lying/*.index again

A file's name begins with `header-` if the header is wrong, so that nothing of the archive can be read, or with `tree-`
if the records are fine but the tree of names is not, so that `FileReader` reads it and everything else refuses it.
What a fuzzer finds is added here.

An index in `lying` is well-formed, with right checksums, and of the archive `ARCHIVE_OF_INDEXES`, but not what the
archive says. Nothing but a check of its arrays can refuse it.
"""

from __future__ import annotations

import itertools
import os
import pickle
import struct
import sys
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ffrfs.archive.index_file import save_index_file
from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.format.chunks import chunk_checksums
from ffrfs.format.index import Index
from tests.support.archives import TREE_MAGIC, packed_folder
from tests.support.reference_packer import archive_of

FOLDER = Path(__file__).parent / "corrupt"
LYING = Path(__file__).parent / "lying"

# What code in a hostile pickle would leave in the working folder if it ran.
EVIDENCE = "code-of-the-archive-ran"

RECORDS = [b"first record", b"", b"third" * 100]
GOOD = archive_of(RECORDS)
N = len(RECORDS)
CLASS = b"ccollections\nOrderedDict\n"
EMPTY = CLASS + b")R"  # an empty OrderedDict, in protocol 2


def with_header(checksums: list[int], offsets: list[int], body: bytes, n: int | None = None) -> bytes:
    """An archive whose header says just this, with a right checksum."""
    count = len(offsets) if n is None else n
    header = struct.pack(f"<q{len(checksums)}I{len(offsets)}q", count, *checksums, *offsets)
    return struct.pack("<I", zlib.crc32(header)) + header + body


def header_cases() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each archive with a wrong header."""
    body = b"".join(RECORDS)
    checksums = [zlib.crc32(record) for record in RECORDS]
    first = 12 + 12 * N
    offsets = [first, first + 12, first + 12]
    yield "empty", b""
    yield "one-byte", b"\0"
    yield "eleven-bytes", GOOD[:11]
    yield "only-the-prefix", GOOD[:12]
    yield "cut-in-the-checksums", GOOD[:17]
    yield "cut-in-the-offsets", GOOD[: first - 1]
    yield "cut-in-a-record", GOOD[: first + 5]
    yield "text", b"This is a text file, and not an archive, although it is long enough to be looked at.\n" * 3
    yield "zeros", bytes(4096)
    yield "no-records-and-then-text", bytes(12) + b"something else"
    yield "no-records-and-a-right-checksum", archive_of([]) + b"x"
    yield "zeros-and-then-ones", bytes(4) + b"\xff" * 200
    yield "gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + bytes(range(200))
    for name, n in (("minus-one", -1), ("minimum", -(2**63)), ("maximum", 2**63 - 1), ("billions", 2**40)):
        yield f"n-{name}", with_header(checksums, offsets, body, n)
    yield "n-one-too-many", with_header(checksums, offsets, b"", N + 1)
    yield "checksum-wrong", struct.pack("<I", zlib.crc32(GOOD[4:first]) ^ 1) + GOOD[4:]
    yield "a-bit-of-the-checksums-flipped", GOOD[:13] + bytes([GOOD[13] ^ 4]) + GOOD[14:]
    yield "a-bit-of-the-offsets-flipped", GOOD[: first - 8] + bytes([GOOD[first - 8] ^ 1]) + GOOD[first - 7 :]
    yield "no-checksum-and-wrong-offsets", bytes(4) + with_header(checksums, offsets[::-1], body)[4:]
    yield "offset-inside-the-header", with_header(checksums, [first - 1, *offsets[1:]], body)
    yield "offset-zero", with_header(checksums, [0, *offsets[1:]], body)
    yield "offset-negative", with_header(checksums, [-1, *offsets[1:]], body)
    yield "offset-minimum", with_header(checksums, [offsets[0], -(2**63), offsets[2]], body)
    yield "offset-maximum", with_header(checksums, [offsets[0], offsets[1], 2**63 - 1], body)
    yield "offsets-descending", with_header(checksums, [first + 12, first, first + 12], body)
    yield "offset-past-the-end", with_header(checksums, [*offsets[:2], first + len(body) + 1], body)
    yield "offsets-that-overflow", with_header(checksums, [first, 2**63 - 1, -(2**63)], body)


class _Call:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.function, self.arguments


def code_cases() -> Iterator[tuple[str, bytes]]:
    """Name and pickle of each known way to have an unpickler run code."""
    run = f"open({EVIDENCE!r}, 'w')".encode()
    shell = f"touch {EVIDENCE}".encode()
    for protocol in range(6):
        yield f"reduce-protocol-{protocol}", pickle.dumps(_Call(exec, run.decode()), protocol)
        inside = OrderedDict(a=0, b=_Call(exec, run.decode()))
        yield f"reduce-in-a-tree-protocol-{protocol}", pickle.dumps(inside, protocol)
    yield "global-system", b"cposix\nsystem\n(S'" + shell + b"'\ntR."
    yield "stack-global", b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c" + bytes([len(run)]) + run + b"\x85R."
    yield (
        "stack-global-from-the-memo",
        (b"\x80\x04\x8c\x08builtins\x94\x8c\x04exec\x94h\x00h\x01\x93\x8c" + bytes([len(run)]) + run + b"\x85R."),
    )
    yield "inst", b"(S'" + shell + b"'\niposix\nsystem\n."
    yield "obj", b"(cposix\nsystem\nS'" + shell + b"'\no."
    yield "newobj", b"\x80\x02cbuiltins\nmap\ncposix\nsystem\n]S'" + shell + b"'\na\x86\x81."
    yield "newobj-ex", b"\x80\x04cbuiltins\nexec\n(X" + struct.pack("<I", len(run)) + run + b"t}\x92."
    yield "build", b"\x80\x02" + EMPTY + b"}X\x0c\x00\x00\x00__setstate__cbuiltins\nexec\nsbX\x01\x00\x00\x001b."
    yield "build-of-a-tree", b"\x80\x02" + EMPTY + b"}(X\x05\x00\x00\x00itemscbuiltins\nexec\nub."
    yield "extension-1", b"\x80\x02\x82\x01."
    yield "extension-2", b"\x80\x02\x83\x01\x00."
    yield "extension-4", b"\x80\x02\x84\x01\x00\x00\x00."
    yield "persistent", b"Pmodule\n."
    yield "persistent-binary", b"\x80\x02X\x01\x00\x00\x00aQ."
    yield "out-of-band-buffer", b"\x80\x05\x97."
    yield "class-with-arguments", b"\x80\x02" + CLASS + b"](X\x01\x00\x00\x00aK\x00\x86a\x85R."
    yield "another-class-of-collections", b"\x80\x02ccollections\ndefaultdict\ncposix\nsystem\n\x85R."
    yield "dotted-name", b"\x80\x04\x8c\x0bcollections\x8c\x16OrderedDict.fromkeys.x\x93)R."
    yield "two-pickles", pickle.dumps(OrderedDict(a=0), 4) + b"cposix\nsystem\n(S'" + shell + b"'\ntR."


def name(text: bytes) -> bytes:
    """A name, as protocol 2 has it."""
    return b"X" + struct.pack("<I", len(text)) + text


def tree_of(*entries: bytes) -> bytes:
    """A tree of protocol 2 with these entries, each a name and a value."""
    return b"\x80\x02" + EMPTY + b"(" + b"".join(entries) + b"u."


def entry_cases() -> Iterator[tuple[str, bytes]]:
    """Name and pickle of each tree whose names or numbers are wrong."""
    for label, text in {
        "empty": b"",
        "dot": b".",
        "dot-dot": b"..",
        "slash": b"a/b",
        "absolute": b"/etc/passwd",
        "climbing": b"../outside",
        "nul": b"a\0b",
        "256-bytes": b"x" * 256,
        "not-text": b"\xed\xa0\x80",
    }.items():
        yield f"name-{label}", tree_of(name(text), b"K\x00")
        yield f"name-{label}-of-a-directory", tree_of(name(text), EMPTY)
    yield "name-twice", tree_of(name(b"a"), b"K\x00", name(b"a"), b"K\x01")
    yield "name-twice-as-file-and-directory", tree_of(name(b"a"), b"K\x00", name(b"a"), EMPTY)
    yield "name-is-a-number", tree_of(b"K\x01", b"K\x00")
    yield "name-is-bytes", b"\x80\x03" + EMPTY + b"(C\x01aK\x00u."
    yield "name-goes-on-after-the-end", b"\x80\x02" + EMPTY + b"(X\xff\xff\xff\x7fab"
    yield "name-of-2-to-the-63", b"\x80\x04" + EMPTY + b"(\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabK\x00u."
    yield "number-past-the-end", tree_of(name(b"a"), b"K\xc8")
    yield "number-of-the-tree-itself", tree_of(name(b"a"), b"K" + bytes([N]))
    yield "number-negative", tree_of(name(b"a"), b"J\xff\xff\xff\xff")
    yield "number-maximum", tree_of(name(b"a"), b"J\xff\xff\xff\x7f")
    yield "number-true", tree_of(name(b"a"), b"\x88")
    yield "number-long", tree_of(name(b"a"), b"\x8a\x01\x00")
    yield "number-of-2-to-the-2040", tree_of(name(b"a"), b"\x8a\xff" + b"\x01" * 255)
    yield "number-as-text", tree_of(name(b"a"), b"I0\n")
    yield "number-a-float", tree_of(name(b"a"), b"G" + bytes(8))
    yield "number-none", tree_of(name(b"a"), b"N")
    yield "number-a-list", tree_of(name(b"a"), b"]")


def shape_cases() -> Iterator[tuple[str, bytes]]:
    """Name and pickle of each thing that is no tree."""
    yield "only-stop", b"."
    yield "no-stop", pickle.dumps(OrderedDict(a=0), 4)[:-1]
    yield "cut-in-the-middle", pickle.dumps(OrderedDict((f"{i}", i % N) for i in range(100)), 4)[:200]
    yield "bytes-after-the-end", pickle.dumps(OrderedDict(a=0), 4) + b"x"
    yield "text", b"no pickle at all, but something else"
    yield "a-dict", pickle.dumps({"a": 0}, 4)
    yield "a-list", pickle.dumps([OrderedDict(a=0)], 4)
    yield "a-number", pickle.dumps(0, 4)
    yield "a-name", pickle.dumps("a", 4)
    yield "two-trees", b"\x80\x02" + EMPTY + EMPTY + b"."
    shared = OrderedDict(a=0)
    yield "shared-directory", pickle.dumps(OrderedDict(x=shared, y=shared), 4)
    cyclic: OrderedDict[str, object] = OrderedDict()
    cyclic["x"] = cyclic
    yield "cycle", pickle.dumps(cyclic, 4)
    deeper = b"h\x01h\x00)R"  # the name and the class from the memo
    yield (
        "nested-5000",
        b"\x80\x02" + CLASS + b"q\x00)R" + name(b"a") + b"q\x01h\x00)R" + deeper * 5000 + b"s" * 5001 + b".",
    )
    yield "marks", b"\x80\x02" + EMPTY + b"(" * 1000 + b"u."
    yield "setitems-without-a-mark", b"\x80\x02" + EMPTY + name(b"a") + b"K\x00u."
    yield "setitem-without-a-value", b"\x80\x02" + EMPTY + name(b"a") + b"s."
    yield "a-value-too-many", b"\x80\x02" + EMPTY + b"(" + name(b"a") + b"K\x00K\x00u."
    yield "popped", b"\x80\x02" + EMPTY + name(b"a") + b"0."
    yield "duplicated", b"\x80\x02" + EMPTY + b"(" + name(b"a") + EMPTY + b"2u."
    yield "memo-far-away", b"\x80\x02" + CLASS + b"r\xff\xff\xff\x7f)R."
    yield "memo-never-set", b"\x80\x02" + EMPTY + b"(h\x05K\x00u."
    yield "memo-of-the-tree", b"\x80\x02" + EMPTY + b"q\x00(" + name(b"a") + b"h\x00u."
    yield "frame-of-2-to-the-64", b"\x80\x04\x95" + b"\xff" * 8 + b"]."
    yield "protocol-255", b"\x80\xff" + EMPTY + b"."
    yield "protocol-twice", b"\x80\x02\x80\x02" + EMPTY + b"."


def cases() -> dict[str, bytes]:
    """All of them: file name and bytes."""
    found = {f"header-{label}": contents for label, contents in header_cases()}
    pickles = {
        **{f"code-{label}": blob for label, blob in code_cases()},
        **dict(entry_cases()),
        **dict(shape_cases()),
    }
    found |= {f"tree-{label}": archive_of([*RECORDS, TREE_MAGIC + blob]) for label, blob in pickles.items()}
    packed = packed_folder({b"a": b"contents", b"b": {b"c": b"more"}})
    found["tree-a-bit-flipped"] = packed[:-10] + bytes([packed[-10] ^ 1]) + packed[-9:]
    found["tree-cut-short"] = packed[:-10]
    found["tree-with-bytes-appended"] = packed + b"x"
    return {f"{label}.ffr": contents for label, contents in found.items()}


LARGE = bytes(range(256)) * 5000  # of two chunks
ARCHIVE_OF_INDEXES = packed_folder(
    {
        b"a": b"contents",
        b"b": LARGE,
        b"d": {b"aa.jpg": b"x", b"ab.jpg": b"", b"e": {b"f": b"deep"}, b"g": {}},
        b"profile": b"echo",
    }
)
INDEX_MTIME_NS = 1_700_000_000 * 10**9  # of the archive, which its index has in it

_Arrays = dict[str, "np.ndarray[Any, Any]"]


def open_for_index(folder: Path) -> Shards:
    """The archive that the indexes are of, opened in a folder."""
    path = folder / "a.ffr"
    path.write_bytes(ARCHIVE_OF_INDEXES)
    os.utime(path, ns=(INDEX_MTIME_NS, INDEX_MTIME_NS))
    return Shards(path)


def right_arrays(shards: Shards) -> _Arrays:
    """The arrays of the right index, chunks included."""
    index = build(shards)
    return dict(index.with_chunks(np.array(chunk_checksums(LARGE), "<u4"), np.ones(1, "|u1")).arrays)


def _with_name(arrays: _Arrays, row: int, text: bytes) -> None:
    starts = arrays["name_starts"].tolist()
    names = [arrays["names"][a:b].tobytes() for a, b in itertools.pairwise(starts)]
    names[row] = text
    arrays["names"] = np.frombuffer(b"".join(names), "|u1")
    arrays["name_starts"] = np.cumsum([0, *map(len, names)]).astype("<i8")


def _set(name: str, at: int, value: int) -> Callable[[_Arrays], None]:
    def lie(arrays: _Arrays) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][at] = value

    return lie


def _resized(name: str, by: int) -> Callable[[_Arrays], None]:
    def lie(arrays: _Arrays) -> None:
        array = arrays[name]
        arrays[name] = np.concatenate([array, array[:1]]) if by > 0 else array[:by]

    return lie


def _named(row: int, text: bytes) -> Callable[[_Arrays], None]:
    return lambda arrays: _with_name(arrays, row, text)


def _swapped(name: str, a: int, b: int) -> Callable[[_Arrays], None]:
    def lie(arrays: _Arrays) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][[a, b]] = arrays[name][[b, a]]

    return lie


def _without_rows(arrays: _Arrays) -> None:
    for name, array in arrays.items():
        arrays[name] = array[:0]


def lies() -> dict[str, Callable[[_Arrays], None]]:
    """What is done to the arrays of the right index, by kind.

    Its rows: 0 the root, 1 a, 2 b, 3 d, 4 profile, 5 d/aa.jpg, 6 d/ab.jpg, 7 d/e, 8 d/g, 9 d/e/f. Its directories:
    0 the root, 1 d, 2 d/e, 3 d/g. Its records: 0 a, 1 b, 2 aa.jpg, 3 ab.jpg, 4 f, 5 profile, 6 the tree.
    """
    found = {
        "name-climbing": _named(4, b"../../.profile"),
        "name-absolute": _named(4, b"/etc/profile"),
        "name-dot-dot": _named(1, b".."),
        "name-dot": _named(1, b"."),
        "name-empty": _named(1, b""),
        "name-nul": _named(4, b"pro\0ile"),
        "name-256-bytes": _named(4, b"p" * 256),
        "name-of-the-root": _named(0, b"root"),
        "name-twice": _named(2, b"a"),
        "name-unsorted": _named(1, b"c"),
        "name-unsorted-late": _named(5, b"ab.jpg2"),
        "name-another": _named(1, b"A"),
        "names-overlap": _set("name_starts", 2, 3),
        "names-backwards": _set("name_starts", 5, 1),
        "names-before-the-beginning": _set("name_starts", 0, -5),
        "names-too-many": _resized("names", 1),
        "key-wrong": _set("keys", 5, 1),
        "keys-swapped": _swapped("keys", 5, 6),
        "key-of-the-root": _set("keys", 0, 1),
        "prefix-wrong": _set("prefixes", 1, 1),
        "prefix-of-one-name": _set("prefixes", 2, 1),
        "parent-of-another": _set("parents", 5, 1),
        "parent-outside": _set("parents", 9, 1000),
        "parent-of-the-root": _set("parents", 0, 4),
        "record-outside": _set("record_numbers", 1, 7),
        "record-of-another": _set("record_numbers", 1, 5),
        "record-maximum": _set("record_numbers", 1, 2**31 - 1),
        "directory-outside": _set("record_numbers", 8, -1000),
        "directory-minimum": _set("record_numbers", 8, -(2**31)),
        "directory-twice": _set("record_numbers", 8, -3),
        "directory-in-itself": _swapped("record_numbers", 3, 7),
        "directory-is-the-root": _set("record_numbers", 8, -1),
        "file-is-a-directory": _set("record_numbers", 1, -5),
        "directory-is-a-file": _set("record_numbers", 8, 0),
        "root-is-a-file": _set("record_numbers", 0, 0),
        "children-overlap": _set("child_starts", 1, 4),
        "children-backwards": _set("child_starts", 2, 2),
        "children-outside": _set("child_starts", 4, 11),
        "children-of-the-root-twice": _set("child_starts", 0, 0),
        "subdirectories-wrong": _set("subdirectories", 1, 0),
        "inode-of-another": _set("inodes", 0, 3),
        "inode-outside": _set("inodes", 0, 4_000_000_000),
        "inode-none": _set("inodes", 0, 0),
        "inode-of-a-directory": _set("inodes", 6, 4),
        "offset-outside": _set("offsets", 6, 2**40),
        "offset-negative": _set("offsets", 0, -1),
        "offset-in-the-header": _set("offsets", 0, 12),
        "length-wrong": _set("lengths", 0, 9),
        "length-maximum": _set("lengths", 6, 2**63 - 1),
        "length-negative": _set("lengths", 3, -1),
        "checksum-wrong": _set("checksums", 0, 0),
        "shards-two": _resized("first_records", 1),
        "shard-begins-late": _set("first_records", 0, 1),
        "shard-ends-early": _set("first_records", 1, 3),
        "sum-of-sizes-wrong": _set("file_bytes", 0, 5),
        "chunk-wrong": _set("chunk_checksums", 0, 5),
        "chunks-swapped": _swapped("chunk_checksums", 0, 1),
        "chunks-known-twice": _set("chunks_known", 0, 2),
        "no-rows": _without_rows,
    }
    for name in Index.ARRAYS:
        found[f"short-{name.replace('_', '-')}"] = _resized(name, -1)
    return found


def lying_indexes() -> dict[str, bytes]:
    """All of them: file name and bytes."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        shards = open_for_index(Path(folder))
        right = right_arrays(shards)
        for label, lie in lies().items():
            arrays = dict(right)
            lie(arrays)
            index = SimpleNamespace(arrays={name: arrays[name].astype(dtype) for name, dtype in Index.ARRAYS.items()})
            path = save_index_file(index, shards)
            assert path is not None
            found[f"{label}.index"] = Path(path).read_bytes()
        shards.close()
    return found


def main() -> None:
    """Write the corpus."""
    LYING.mkdir(exist_ok=True)
    for old in LYING.glob("*.index"):
        old.unlink()
    for file_name, contents in lying_indexes().items():
        (LYING / file_name).write_bytes(contents)
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.ffr"):
        old.unlink()
    for file_name, contents in cases().items():
        (FOLDER / file_name).write_bytes(contents)
    print(f"{len(cases())} files in {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    main()
