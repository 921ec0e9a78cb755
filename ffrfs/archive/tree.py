"""The tree of a packed folder: from the pickled metadata record to columns of names and record numbers. No I/O.

The record is a pickle of nested OrderedDicts, but it comes from a stranger, so it is not unpickled. `parse_tree` reads
the few opcodes that such a pickle consists of, in this grammar, and refuses everything else before anything is built:

    pickle    = PROTO {FRAME} directory STOP
    directory = class EMPTY_TUPLE REDUCE [memo] {batch}
    class     = 'collections' 'OrderedDict' STACK_GLOBAL [memo] | GLOBAL [memo] | get
    batch     = MARK {name value} SETITEMS | name value SETITEM
    name      = SHORT_BINUNICODE [memo] | BINUNICODE [memo] | get
    value     = BININT1 | BININT2 | BININT | directory
    memo      = MEMOIZE | BINPUT | LONG_BINPUT          get = BINGET | LONG_BINGET

No Python object is kept for a file: positions in the record go to arrays, and numpy does the rest. That is also why it
is faster than unpickling. Source of the opcodes: CPython Lib/pickletools.py.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ffrfs.errors import FormatError

__all__ = ["MAX_DEPTH", "MAX_NAME_BYTES", "Tree", "numbered_tree", "parse_tree"]

MAX_NAME_BYTES = 255  # what Linux allows, so a longer one could never be looked up
MAX_DEPTH = 2048  # directories below each other; a path of PATH_MAX bytes has no more

_SHORT_BINUNICODE, _BINUNICODE, _MEMOIZE, _FRAME = 0x8C, ord("X"), 0x94, 0x95
_BINGET, _LONG_BINGET, _BINPUT, _LONG_BINPUT = ord("h"), ord("j"), ord("q"), ord("r")
_STACK_GLOBAL, _GLOBAL, _EMPTY_TUPLE, _REDUCE = 0x93, ord("c"), ord(")"), ord("R")
_MARK, _SETITEM, _SETITEMS, _PROTO, _STOP = ord("("), ord("s"), ord("u"), 0x80, ord(".")
_BININT, _BININT1, _BININT2 = ord("J"), ord("K"), ord("M")

# Bytes of an integer opcode with its argument, by opcode; 0 where the opcode is no integer.
_INT_BYTES = bytes({_BININT1: 2, _BININT2: 3, _BININT: 5}.get(op, 0) for op in range(256))
_GLOBAL_TEXT = b"ccollections\nOrderedDict\n"
# What the memo holds where it does not hold the position of a string.
_MEMO_CLASS, _MEMO_OTHER = -1, -2


@dataclass(frozen=True, slots=True)
class Tree:
    """The entries of all directories, in the order in which the archive lists them; entry e has

    owner[e]: the directory it is in, directories being numbered from 0, the root, in the order they were begun;
    text[starts[e] : starts[e] + lengths[e]]: its name, as the bytes a file system would show;
    records[e]: its record number, or -1 if it is a directory, whose number is then children[e] (else -1).

    All arrays have shape (entries,); `directories` counts the directories, the root included.
    """

    owner: NDArray[np.int64]
    text: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    records: NDArray[np.int64]
    children: NDArray[np.int64]
    directories: int


class _Directory:
    """A directory on the parser's stack."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class _Name:
    """A name on the stack that waits for its value; it is the entry `entry`."""

    __slots__ = ("entry",)

    def __init__(self, entry: int) -> None:
        self.entry = entry


class _Files:
    """Entries [begin, end) on the stack: names with record numbers, one after the other."""

    __slots__ = ("begin", "end")

    def __init__(self, begin: int, end: int) -> None:
        self.begin, self.end = begin, end


class _Token:
    """One of the stack's other values."""

    __slots__ = ()


_THE_MARK, _THE_CLASS, _THE_TUPLE = _Token(), _Token(), _Token()
_StackValue = _Directory | _Name | _Files | _Token


class _Parser:
    """One pass over the opcodes; `parse` fills the arrays, everything else about the tree is checked afterwards."""

    def __init__(self, path: str, blob: bytes, begin: int, file_offset: int) -> None:
        self.path, self.blob, self.begin, self.file_offset = path, blob, begin, file_offset
        self.text = np.frombuffer(blob, np.uint8)
        self.names = array("q")  # position of each entry's string opcode
        self.values = array("q")  # position of each entry's integer opcode, or -1 - number of a directory
        self.memo = array("q")
        self.spans = array("q")  # triples (first entry, end, owner)
        self.directories = 0
        self.stack: list[_StackValue] = []

    def error(self, problem: str, position: int) -> FormatError:
        return FormatError(self.path, f"its tree of names is wrong: {problem}", offset=self.file_offset + position)

    def parse(self) -> None:
        try:
            end = self._run(self.begin)
        except IndexError:
            raise self.error("it ends in the middle", len(self.blob)) from None
        if end != len(self.blob):
            raise self.error(f"{len(self.blob) - end} bytes follow its end", end)

    def _run(self, p: int) -> int:
        """Read opcodes from position p to STOP; returns the position after it."""
        b, stack = self.blob, self.stack
        while True:
            op = b[p]
            if op == _SHORT_BINUNICODE:
                begin = len(self.names)
                following = self._files(p)
                if following == p:
                    p = self._string(p, 2 + b[p + 1])
                    continue
                p = following
                top = stack[-1] if stack else None
                if isinstance(top, _Files) and top.end == begin:
                    top.end = len(self.names)
                else:
                    stack.append(_Files(begin, len(self.names)))
            elif op == _BINUNICODE:
                p = self._string(p, 5 + int.from_bytes(b[p + 1 : p + 5], "little"))
            elif _INT_BYTES[op]:
                self._integer(p)
                p += _INT_BYTES[op]
            elif op in (_BINGET, _LONG_BINGET):
                size = 1 if op == _BINGET else 4
                self._get(int.from_bytes(b[p + 1 : p + 1 + size], "little"), p)
                p += 1 + size
            elif op == _MEMOIZE:
                self._put(len(self.memo), p)
                p += 1
            elif op in (_BINPUT, _LONG_BINPUT):
                size = 1 if op == _BINPUT else 4
                self._put(int.from_bytes(b[p + 1 : p + 1 + size], "little"), p)
                p += 1 + size
            elif op == _MARK:
                if not stack or not isinstance(stack[-1], _Directory):
                    raise self.error("a MARK where no directory is", p)
                stack.append(_THE_MARK)
                p += 1
            elif op == _SETITEMS:
                self._close_batch(p)
                p += 1
            elif op == _SETITEM:
                self._close_single(p)
                p += 1
            elif op == _EMPTY_TUPLE:
                stack.append(_THE_TUPLE)
                p += 1
            elif op == _REDUCE:
                if len(stack) < 2 or stack[-1] is not _THE_TUPLE or stack[-2] is not _THE_CLASS:
                    raise self.error("a REDUCE of something that is not an empty OrderedDict", p)
                stack[-2:] = [_Directory(self.directories)]
                self.directories += 1
                p += 1
            elif op == _STACK_GLOBAL:
                self._global(p)
                p += 1
            elif op == _GLOBAL:
                if b[p : p + len(_GLOBAL_TEXT)] != _GLOBAL_TEXT:
                    raise self.error("it names a class other than collections.OrderedDict", p)
                stack.append(_THE_CLASS)
                p += len(_GLOBAL_TEXT)
            elif op == _FRAME:
                p += 9
            elif op == _PROTO:
                if p != self.begin or not 2 <= b[p + 1] <= 5:
                    raise self.error("a PROTO that is misplaced or unknown", p)
                p += 2
            elif op == _STOP:
                if len(stack) != 1 or not isinstance(stack[0], _Directory):
                    raise self.error("it is not one directory", p)
                return p + 1
            else:
                raise self.error(f"pickle opcode {op:#04x} has no place in a tree of OrderedDict, str and int", p)

    def _files(self, p: int) -> int:
        """Take as many `name memo integer` in their usual form as follow p; returns the position after them.

        Nearly all of a tree is this, so it is the one loop that has to be quick.
        """
        b, int_bytes = self.blob, _INT_BYTES
        found: list[int] = []
        append = found.append
        while b[p] == _SHORT_BINUNICODE:
            q = p + 2 + b[p + 1]
            if b[q] != _MEMOIZE:
                break
            size = int_bytes[b[q + 1]]
            if not size:
                break
            append(p)
            p = q + 1 + size
        at = np.array(found, np.int64)
        positions = at.tobytes()
        self.names.frombytes(positions)
        self.memo.frombytes(positions)
        self.values.frombytes((at + 3 + self.text[at + 1]).tobytes())
        return p

    def _string(self, p: int, size: int) -> int:
        if p + size > len(self.blob):
            raise self.error("a name goes on after its end", p)
        self._push_name(p)
        return p + size

    def _push_name(self, position: int) -> None:
        self.stack.append(_Name(len(self.names)))
        self.names.append(position)
        self.values.append(0)

    def _integer(self, p: int) -> None:
        stack = self.stack
        if not stack or not isinstance(stack[-1], _Name):
            raise self.error("a record number without a name", p)
        entry = stack.pop().entry  # type: ignore[union-attr]
        self.values[entry] = p
        top = stack[-1] if stack else None
        if isinstance(top, _Files) and top.end == entry:
            top.end = entry + 1
        else:
            stack.append(_Files(entry, entry + 1))

    def _get(self, number: int, p: int) -> None:
        if number >= len(self.memo):
            raise self.error(f"it refers to memo {number}, which was never set", p)
        kept = self.memo[number]
        if kept >= 0:
            self._push_name(kept)
        elif kept == _MEMO_CLASS:
            self.stack.append(_THE_CLASS)
        else:
            raise self.error("a directory stands in it twice", p)

    def _put(self, number: int, p: int) -> None:
        if number != len(self.memo) or not self.stack:
            raise self.error(f"memo {number} is set out of turn", p)
        top = self.stack[-1]
        if isinstance(top, _Name):
            self.memo.append(self.names[top.entry])
        else:
            self.memo.append(_MEMO_CLASS if top is _THE_CLASS else _MEMO_OTHER)

    def _global(self, p: int) -> None:
        stack = self.stack
        if len(stack) < 2 or not all(isinstance(value, _Name) for value in stack[-2:]):
            raise self.error("a STACK_GLOBAL without two names", p)
        if [self._short_text(position) for position in self.names[-2:]] != [b"collections", b"OrderedDict"]:
            raise self.error("it names a class other than collections.OrderedDict", p)
        del self.names[-2:], self.values[-2:]  # they were no entries
        stack[-2:] = [_THE_CLASS]

    def _short_text(self, p: int) -> bytes:
        b = self.blob
        return b[p + 2 : p + 2 + b[p + 1]] if b[p] == _SHORT_BINUNICODE else b""

    def _close_batch(self, p: int) -> None:
        stack = self.stack
        mark = len(stack) - 1
        while mark > 0 and stack[mark] is not _THE_MARK:
            mark -= 1
        owner = stack[mark - 1] if mark > 0 else None
        if not isinstance(owner, _Directory):
            raise self.error("a SETITEMS without a directory and a MARK", p)
        values = iter(stack[mark + 1 :])
        for value in values:
            if isinstance(value, _Name):
                self._own_directory(owner, value, next(values, None), p)
            elif isinstance(value, _Files):
                self.spans.extend((value.begin, value.end, owner.number))
            else:
                raise self.error("a value without a name", p)
        del stack[mark:]

    def _close_single(self, p: int) -> None:
        stack = self.stack
        last = stack.pop() if stack else None
        if isinstance(last, _Files) and last.end - last.begin == 1 and stack and isinstance(stack[-1], _Directory):
            self.spans.extend((last.begin, last.end, stack[-1].number))
            return
        name = stack.pop() if stack else None
        owner = stack[-1] if stack else None
        if not isinstance(name, _Name) or not isinstance(owner, _Directory):
            raise self.error("a SETITEM without a directory, a name and a value", p)
        self._own_directory(owner, name, last, p)

    def _own_directory(self, owner: _Directory, name: _Name, value: _StackValue | None, p: int) -> None:
        if not isinstance(value, _Directory):
            raise self.error("a name without a record number or a directory", p)
        self.values[name.entry] = -1 - value.number
        self.spans.extend((name.entry, name.entry + 1, owner.number))


def parse_tree(path: str, blob: bytes, begin: int, n_records: int, file_offset: int) -> Tree:
    """Parse the metadata record of a packed folder.

    Args: path, for errors; blob, the record; begin, where in it the pickle begins; n_records, how many records files
    may refer to; file_offset, where in the file the record begins.
    Returns: the tree; names are not yet known to be unique or sorted (see `index.build_index`).
    Raises: FormatError for anything but a tree of well-formed names and record numbers in range.
    Cost: some 0.25 µs an entry, 24 bytes of memory an entry beside the result.
    """
    parser = _Parser(path, blob, begin, file_offset)
    parser.parse()
    names = np.frombuffer(parser.names, np.int64)
    values = np.frombuffer(parser.values, np.int64)
    text = parser.text
    owner = _owners(parser, len(names))
    records = np.where(values < 0, -1, _integers(text, np.maximum(values, 0)))
    wrong = np.flatnonzero((values >= 0) & ((records < 0) | (records >= n_records)))
    if len(wrong):
        raise parser.error(
            f"record number {records[wrong[0]]} is outside the archive's 0 to {n_records - 1}", int(values[wrong[0]])
        )
    children = np.where(values < 0, -1 - values, -1)
    _check_depth(parser, owner, children)
    text, starts, lengths = _texts(parser, text, names)
    return Tree(owner, text, starts, lengths, records, children, parser.directories)


def numbered_tree(n_records: int) -> Tree:
    """The tree that stands for an archive without one: a directory of files 000, 001, … named by record number."""
    width = len(str(max(n_records - 1, 0)))
    numbers = np.arange(n_records, dtype=np.int64)
    digits = (numbers[:, None] // 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)) % 10
    return Tree(
        owner=np.zeros(n_records, np.int64),
        text=(digits + ord("0")).astype(np.uint8).ravel(),
        starts=numbers * width,
        lengths=np.full(n_records, width, np.int64),
        records=numbers,
        children=np.full(n_records, -1, np.int64),
        directories=1,
    )


def _owners(parser: _Parser, entries: int) -> NDArray[np.int64]:
    spans = np.frombuffer(parser.spans, np.int64).reshape(-1, 3)
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    lengths = spans[:, 1] - spans[:, 0]
    if int(lengths.sum()) != entries:
        raise parser.error("it has names that belong to no directory", len(parser.blob))
    return np.asarray(np.repeat(spans[:, 2], lengths), np.int64)


def _integers(text: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Decode the integer opcodes at these positions."""
    padded = np.concatenate([text, np.zeros(5, np.uint8)])
    op = padded[at]
    wide = _four_bytes(padded, at + 1)
    wide[op == _BININT1] &= 0xFF
    wide[op == _BININT2] &= 0xFFFF
    return np.asarray(np.where((op == _BININT) & (wide > 0x7FFFFFFF), wide - 0x100000000, wide), np.int64)


def _four_bytes(text: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The little-endian numbers of four bytes at these positions. Rows of a window are copied whole, which is several
    times faster than gathering bytes."""
    rows = np.lib.stride_tricks.sliding_window_view(text, 4)[at]
    return rows.view("<u4").ravel().astype(np.int64)


def _check_depth(parser: _Parser, owner: NDArray[np.int64], children: NDArray[np.int64]) -> None:
    entries = np.flatnonzero(children >= 0)
    if len(entries) != parser.directories - 1:
        raise parser.error("it has directories that are in no directory", len(parser.blob))
    depth = [0] * parser.directories
    # A directory is begun after the one it is in, so in this order the parent's depth is always known.
    order = np.argsort(children[entries])
    for child, parent in zip(children[entries][order].tolist(), owner[entries][order].tolist(), strict=True):
        depth[child] = depth[parent] + 1
    if max(depth) > MAX_DEPTH:
        raise parser.error(f"it is {max(depth)} directories deep, more than {MAX_DEPTH}", len(parser.blob))


def _texts(
    parser: _Parser, text: NDArray[np.uint8], names: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Where each name's bytes lie. Bytes that were not UTF-8 when packed are stored as lone surrogates; names with
    such are decoded and appended to the text."""
    padded = np.concatenate([text, np.zeros(5, np.uint8)])
    short = padded[names] == _SHORT_BINUNICODE
    starts = names + np.where(short, 2, 5)
    lengths = np.where(short, padded[names + 1], 0).astype(np.int64)
    long = np.flatnonzero(~short)
    lengths[long] = _four_bytes(padded, names[long] + 1)

    if 0xED not in parser.blob:  # no UTF-8 of a surrogate begins otherwise, and this is the quickest way to see it
        return text, starts, lengths
    surrogates = np.flatnonzero((text[:-1] == 0xED) & (text[1:] >= 0xA0))
    if len(surrogates) == 0:
        return text, starts, lengths
    order = np.argsort(starts, kind="stable")
    ends = (starts + lengths)[order]
    # A name holds a surrogate if one begins at or after its start and before its end.
    first = np.searchsorted(surrogates, starts[order])
    holds = (first < len(surrogates)) & (surrogates[np.minimum(first, len(surrogates) - 1)] < ends)
    appended = bytearray()
    for entry in order[holds].tolist():
        raw = parser.blob[starts[entry] : starts[entry] + lengths[entry]]
        try:
            name = raw.decode("utf-8", "surrogatepass").encode("utf-8", "surrogateescape")
        except UnicodeError:
            raise parser.error("a name is not text", int(starts[entry])) from None
        starts[entry], lengths[entry] = len(text) + len(appended), len(name)
        appended += name
    return np.concatenate([text, np.frombuffer(bytes(appended), np.uint8)]), starts, lengths
