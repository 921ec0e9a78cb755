"""Trees for tests, as nested dicts of bytes; contents are random but always the same."""

from __future__ import annotations

import random

from tests.support.archives import Directory

PAGE_BYTES = 4096
READAHEAD_BYTES = 512 << 10  # what a mount asks the kernel to ask for at once
_LARGE_BYTES = (1 << 20) + 70_001  # more than what the mount checks in one go

EDGE_SIZES = sorted(
    {0, 1, 511, 512, 513, _LARGE_BYTES, 3 * _LARGE_BYTES}
    | {edge + d for edge in (PAGE_BYTES, 65_536, 131_072, READAHEAD_BYTES, 1 << 20) for d in (-1, 0, 1)}
)


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that look random, the same for the same arguments."""
    return random.Random(f"{size_bytes} {seed}").randbytes(size_bytes)


def nested(levels: int) -> Directory:
    """Directories in each other, with a file at the bottom."""
    tree: Directory = {b"bottom": content(100)}
    for level in reversed(range(levels)):
        tree = {b"level%d" % level: tree}
    return tree


SAMPLE: Directory = {
    b"sizes": {b"%d.bin" % size: content(size) for size in EDGE_SIZES},
    b"names": {
        name: content(20, seed)
        for seed, name in enumerate(
            [
                b" ",
                b"a b",
                b"new\nline",
                b"\x01",
                b"-",
                b"...",
                b".hidden",
                b"\\",
                b"\xff\xfe not UTF-8",
                "nämé 名前 \U0001f600".encode(),
                b"x" * 255,
                b"*?[",
                b"'\"$`",
            ]
        )
    },
    b"deep": nested(40),
    b"wide": {b"%05d" % number: b"%d" % number for number in range(3000)},
    b"empty": {},
    b"of directories": {b"%d" % number: {} for number in range(5)},
    b"top": b"at the top",
}
