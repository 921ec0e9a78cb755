"""The corpus of damaged and hostile archives: one file for each kind of damage, always the same bytes.

    python -m tests.data.make_corrupt        writes tests/data/corrupt/*.ffr anew

A file's name begins with `header-` if the header is wrong, so that nothing of the archive can be read, or with `tree-`
if the records are fine but the tree of names is not, so that `FileReader` reads it and everything else refuses it.
What a fuzzer finds is added here.
"""

from __future__ import annotations

import pickle
import struct
import sys
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from tests.support.archives import TREE_MAGIC, packed_folder
from tests.support.reference_packer import archive_of

FOLDER = Path(__file__).parent / "corrupt"

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


def main() -> None:
    """Write the corpus."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.ffr"):
        old.unlink()
    for file_name, contents in cases().items():
        (FOLDER / file_name).write_bytes(contents)
    print(f"{len(cases())} files in {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    main()
