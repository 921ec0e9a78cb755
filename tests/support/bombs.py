"""Archives made to cost whoever opens them time or memory, as large as one likes; most are wrong, some are not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import product

from tests.support.archives import TREE_MAGIC
from tests.support.reference_packer import archive_of

_CLASS = b"\x80\x02ccollections\nOrderedDict\nq\x00"
_EMPTY = b"h\x00)R"  # one more OrderedDict, the class coming from the memo


def _packed(tree: bytes) -> bytes:
    return archive_of([b"record", TREE_MAGIC + tree])


def _name(text: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text


def one_name_in_many_directories(size_bytes: int) -> bytes:
    """A right tree: as many directories as fit, each with the same name of 255 bytes, which stands there once."""
    directory = b"\x8c\x08%s" + _EMPTY + b"(h\x01K\x00u"
    first = b"\x8c\x08first   " + _EMPTY + b"(" + _name(b"x" * 255) + b"q\x01K\x00u"
    more = (directory % (b"%08d" % number) for number in range(size_bytes // (len(directory) + 6)))
    return _packed(_CLASS + b")R(" + first + b"".join(more) + b"u.")


def long_names_of_all_directories(size_bytes: int) -> bytes:
    """A right tree: the same 250 names, of 255 bytes that are not UTF-8, in every directory, and in none sorted."""
    texts = [b"%03d" % number + b"\xed\xb2\x80" * 252 for number in reversed(range(250))]
    first = b"".join(_name(text) + b"q" + bytes([number]) + b"K\x00" for number, text in enumerate(texts, 1))
    others = b"".join(b"h" + bytes([number]) + b"K\x00" for number in range(1, 251))
    directories = (b"\x8c\x08%08d" % number + _EMPTY + b"(" + others + b"u" for number in range(size_bytes // 1020))
    return _packed(_CLASS + b")R(" + _name(b"first") + _EMPTY + b"(" + first + b"u" + b"".join(directories) + b"u.")


def one_name_many_times_in_one_directory(size_bytes: int) -> bytes:
    """References to one name of 255 bytes, in the directory that has it."""
    return _packed(_CLASS + b")R(" + _name(b"x" * 255) + b"q\x01K\x00" + b"h\x01K\x00" * (size_bytes // 4) + b"u.")


def short_names_without_memo(size_bytes: int) -> bytes:
    """Right but for their names, which are all the same."""
    return _packed(_CLASS + b")R(" + b"\x8c\x01aK\x00" * (size_bytes // 5) + b"u.")


def files_one_by_one(size_bytes: int) -> bytes:
    """Batches of a single file."""
    return _packed(_CLASS + b")R" + b"\x8c\x01aK\x00s" * (size_bytes // 6) + b".")


def one_long_name_many_times(size_bytes: int) -> bytes:
    """Half of it one name with a surrogate in it, half references to that name."""
    text = _name(b"\xed\xb3\xbf" * (size_bytes // 6)) + b"q\x01K\x00"
    return _packed(_CLASS + b")R(" + text + b"h\x01K\x00" * (size_bytes // 8) + b"u.")


def names_without_values(size_bytes: int) -> bytes:
    """Names that wait for a value."""
    return _packed(_CLASS + b")R(" + _name(b"a") + b"q\x01K\x00" + b"h\x01" * (size_bytes // 2) + b"u.")


def directories_without_names(size_bytes: int) -> bytes:
    """Directories that are in none."""
    return _packed(_CLASS + b")R" + _EMPTY * (size_bytes // 4) + b".")


def nested(size_bytes: int) -> bytes:
    """Directories in each other."""
    return deep(size_bytes // 7)


def deep(levels: int) -> bytes:
    """A tree of so many directories `d` in each other, in the last of which is the file `bottom`."""
    directories = _name(b"d") + b"q\x01" + _EMPTY + (b"h\x01" + _EMPTY) * (levels - 1)
    return _packed(_CLASS + b")R" + directories + _name(b"bottom") + b"K\x00" + b"s" * (levels + 1) + b".")


def tuples(size_bytes: int) -> bytes:
    """Empty tuples that nobody takes."""
    return _packed(_CLASS + b")" * size_bytes + b".")


def memos(size_bytes: int) -> bytes:
    """The same object kept again and again."""
    return _packed(b"\x80\x04" + _CLASS[2:] + b"\x94" * size_bytes + b")R.")


def empty_records(size_bytes: int) -> bytes:
    """A right archive of nothing but empty records, without a tree."""
    n = size_bytes // 12
    header = struct.pack("<q", n) + bytes(4 * n) + struct.pack("<q", 12 + 12 * n) * n
    return struct.pack("<I", zlib.crc32(header)) + header


def colliding_names(size_bytes: int) -> bytes:
    """A right tree of names whose CRC32s are all the same, for whoever finds names by it."""
    names = names_with_crc(0x5EED5EED, size_bytes // 16)
    return _packed(_CLASS + b")R(" + b"".join(_name(name) + b"K\x00" for name in names) + b"u.")


BOMBS: dict[str, Callable[[int], bytes]] = {
    function.__name__: function
    for function in (
        one_name_in_many_directories,
        long_names_of_all_directories,
        one_name_many_times_in_one_directory,
        short_names_without_memo,
        files_one_by_one,
        one_long_name_many_times,
        names_without_values,
        directories_without_names,
        nested,
        tuples,
        memos,
        empty_records,
        colliding_names,
    )
}


def names_with_crc(crc: int, count: int) -> list[bytes]:
    """So many different names of nine bytes whose CRC32 is this one."""
    found: list[bytes] = []
    for name in _forged(crc):
        found.append(name)
        if len(found) == count:
            break
    return found


def _forged(crc: int) -> Iterator[bytes]:
    """Names: letters, and the four bytes that make the CRC32 come out, where these are ASCII and may be in a name."""
    table = [zlib.crc32(bytes([byte ^ 0xFF])) ^ 0xFF000000 for byte in range(256)]
    by_top = {entry >> 24: index for index, entry in enumerate(table)}
    letters = range(0x61, 0x7B)
    for letter in product(letters, repeat=5):
        prefix = bytes(letter)
        wanted = crc ^ 0xFFFFFFFF
        indices = []
        for _ in range(4):
            index = by_top[wanted >> 24]
            indices.append(index)
            wanted = ((wanted ^ table[index]) << 8) & 0xFFFFFFFF
        state = zlib.crc32(prefix) ^ 0xFFFFFFFF
        suffix = []
        for index in reversed(indices):
            suffix.append((state ^ index) & 0xFF)
            state = table[index] ^ (state >> 8)
        if all(byte < 0x80 and byte not in (0, 0x2F) for byte in suffix):
            yield prefix + bytes(suffix)
