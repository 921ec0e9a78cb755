"""The pickle of a packed folder's tree, read without unpickling.

It comes from a stranger, so nothing of it is executed: a parser knows the few opcodes that such a pickle consists of,
in this grammar, and refuses everything else before anything is built.

    pickle    = PROTO directory STOP
    directory = class EMPTY_TUPLE REDUCE [memo] {batch}
    class     = text text STACK_GLOBAL [memo] | GLOBAL [memo] | get
    batch     = MARK {name value} SETITEMS | name value SETITEM
    name      = text | BINUNICODE [memo]
    text      = SHORT_BINUNICODE [memo] | get
    value     = BININT1 | BININT2 | BININT | directory
    memo      = MEMOIZE | BINPUT | LONG_BINPUT
    get       = BINGET | LONG_BINGET

FRAME may stand before any opcode after PROTO. The two texts of a class are `collections` and `OrderedDict`, and GLOBAL
names the same class. A memo has the number of memos that were set before it; a get refers to a text that was kept, as
the class does to the class.

Runs of files, which nearly all of a tree is, are read by one small loop, or at once where they are alike; numpy does
the rest (`tree`).
Source of the opcodes: CPython Lib/pickletools.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ffrfs.errors import FormatError

__all__ = ["BININT", "BININT1", "BININT2", "SHORT_BINUNICODE", "PickledTree"]

SHORT_BINUNICODE, _BINUNICODE, _MEMOIZE, _FRAME = 0x8C, ord("X"), 0x94, 0x95
_BINGET, _LONG_BINGET, _BINPUT, _LONG_BINPUT = ord("h"), ord("j"), ord("q"), ord("r")
_STACK_GLOBAL, _GLOBAL, _EMPTY_TUPLE, _REDUCE = 0x93, ord("c"), ord(")"), ord("R")
_MARK, _SETITEM, _SETITEMS, _PROTO, _STOP = ord("("), ord("s"), ord("u"), 0x80, ord(".")
BININT, BININT1, BININT2 = ord("J"), ord("K"), ord("M")

# Bytes of an integer opcode with its argument, by opcode; 0 where the opcode is no integer.
_INT_BYTES = bytes({BININT1: 2, BININT2: 3, BININT: 5}.get(op, 0) for op in range(256))
_GLOBAL_TEXT = b"ccollections\nOrderedDict\n"
# What the memo holds where it does not hold the position of a string.
_MEMO_CLASS, _MEMO_OTHER = -1, -2
# After so many files found one by one those that are alike are looked for at once; in vain, and it waits for more.
_PATIENCE, _MOST_PATIENCE = 32, 512
_ALIKE_AT_ONCE = 1024  # a pickle's batch has a thousand
_FEW = 16


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


class PickledTree:
    """One pass over the opcodes of a tree's pickle.

    Args: path, for errors; blob, bytes in which the pickle begins at `begin` and which end with it; file_offset, where
    in the file the blob begins.
    Attributes, after `parse`: names, the position in the blob of each entry's string opcode; values, that of its
    integer opcode, or -1 - number of a directory; spans, triples (first entry, end, number of the directory that they
    are in); directories, how many there are; text, the blob as uint8. Arrays, not lists: no object is kept for a file.
    """

    def __init__(self, path: str, blob: bytes, begin: int, file_offset: int) -> None:
        self.path, self.blob, self.begin, self.file_offset = path, blob, begin, file_offset
        self.text = np.frombuffer(blob, np.uint8)
        self.names, self.values, self.spans = array("q"), array("q"), array("q")
        self.directories = 0
        self.memo = array("q")  # positions of strings, or one of the constants above
        self.stack: list[_StackValue] = []
        self._patience = _PATIENCE

    def error(self, problem: str, position: int) -> FormatError:
        """The error for something wrong at a position of the blob."""
        return FormatError(self.path, f"its tree of names is wrong: {problem}", offset=self.file_offset + position)

    def parse(self) -> None:
        """Read it all. Raises: FormatError for anything but nested OrderedDicts of str and int."""
        try:
            end = self._run(self.begin)
        except IndexError:
            raise self.error("it ends in the middle", len(self.blob)) from None
        if end != len(self.blob):
            raise self.error(f"{len(self.blob) - end} bytes follow its end", end)

    def _run(self, p: int) -> int:
        """Read opcodes from position p to STOP; returns the position after it."""
        opcodes = self.blob
        steps: dict[int, Callable[[int], int]] = {
            SHORT_BINUNICODE: self._names,
            _BINUNICODE: lambda p: self._name(p, 5 + self._number(p, 4)),
            BININT1: self._integer,
            BININT2: self._integer,
            BININT: self._integer,
            _BINGET: lambda p: self._get(p, 1),
            _LONG_BINGET: lambda p: self._get(p, 4),
            _MEMOIZE: lambda p: self._put(len(self.memo), p, 1),
            _BINPUT: lambda p: self._put(self._number(p, 1), p, 2),
            _LONG_BINPUT: lambda p: self._put(self._number(p, 4), p, 5),
            _MARK: self._mark,
            _SETITEMS: self._close_batch,
            _SETITEM: self._close_single,
            _EMPTY_TUPLE: lambda p: self._push(_THE_TUPLE, p + 1),
            _REDUCE: self._directory,
            _STACK_GLOBAL: self._stack_global,
            _GLOBAL: self._global,
            _FRAME: lambda p: p + 9,
            _PROTO: self._protocol,
        }
        while (opcode := opcodes[p]) != _STOP:
            step = steps.get(opcode)
            if step is None:
                raise self.error(f"pickle opcode {opcode:#04x} has no place in a tree of OrderedDict, str and int", p)
            p = step(p)
        if len(self.stack) != 1 or not isinstance(self.stack[0], _Directory):
            raise self.error("it is not one directory", p)
        return p + 1

    def _number(self, p: int, size: int) -> int:
        """The unsigned argument of the opcode at p."""
        return int.from_bytes(self.blob[p + 1 : p + 1 + size], "little")

    def _push(self, value: _StackValue, following: int) -> int:
        self.stack.append(value)
        return following

    def _protocol(self, p: int) -> int:
        if p != self.begin or not 2 <= self.blob[p + 1] <= 5:
            raise self.error("a PROTO that is misplaced or unknown", p)
        return p + 2

    def _mark(self, p: int) -> int:
        if not self.stack or not isinstance(self.stack[-1], _Directory):
            raise self.error("a MARK where no directory is", p)
        return self._push(_THE_MARK, p + 1)

    def _directory(self, p: int) -> int:
        stack = self.stack
        if len(stack) < 2 or stack[-1] is not _THE_TUPLE or stack[-2] is not _THE_CLASS:
            raise self.error("a REDUCE of something that is not an empty OrderedDict", p)
        stack[-2:] = [_Directory(self.directories)]
        self.directories += 1
        return p + 1

    def _global(self, p: int) -> int:
        if self.blob[p : p + len(_GLOBAL_TEXT)] != _GLOBAL_TEXT:
            raise self.error("it names a class other than collections.OrderedDict", p)
        return self._push(_THE_CLASS, p + len(_GLOBAL_TEXT))

    def _names(self, p: int) -> int:
        """A run of files, or a name that something else follows."""
        begin = len(self.names)
        following = self._files(p)
        if following == p:
            return self._name(p, 2 + self.blob[p + 1])
        self._push_files(begin, len(self.names))
        return following

    def _push_files(self, begin: int, end: int) -> None:
        top = self.stack[-1] if self.stack else None
        if isinstance(top, _Files) and top.end == begin:
            top.end = end
        else:
            self.stack.append(_Files(begin, end))

    def _files(self, p: int) -> int:
        """Take as many files in their usual form, `name memo integer` or all without memo, as follow p; returns the
        position after them.

        Nearly all of a tree is this, so it has to be quick.
        """
        memo = int(self.blob[p + 2 + self.blob[p + 1]] == _MEMOIZE)
        going = True
        while going:
            found, p = self._next_files(p, memo)
            going = len(found) == self._patience
            if len(found) < _FEW:
                self._take_few_files(found, memo)
            else:
                self._take_files(np.array(found, np.int64), memo)
            if going:
                alike = self._files_alike(found[-1], p, memo)
                if len(alike):
                    self._take_files(alike, memo)
                    p = int(alike[-1]) + p - found[-1]
                self._patience = _PATIENCE if len(alike) >= _PATIENCE else min(2 * self._patience, _MOST_PATIENCE)
        return p

    def _next_files(self, p: int, memo: int) -> tuple[list[int], int]:
        """The positions of at most `_patience` files that follow p, found one by one, and the position after them.

        Args: memo, 1 if each name is kept in the memo, 0 if none is.
        """
        b, int_bytes = self.blob, _INT_BYTES
        found: list[int] = []
        append = found.append
        for _ in range(self._patience):
            if b[p] != SHORT_BINUNICODE:
                break
            q = p + 2 + b[p + 1]
            if memo:
                if b[q] != _MEMOIZE:
                    break
                q += 1
            size = int_bytes[b[q]]
            if not size:
                break
            append(p)
            p = q + size
        return found, p

    def _files_alike(self, model: int, p: int, memo: int) -> NDArray[np.int64]:
        """The positions of the files that follow p and are as the one at `model`, which ends at p: with names of one
        length and numbers of one size, as whole archives have them."""
        size = p - model
        count = min(_ALIKE_AT_ONCE, (len(self.text) - p) // size)
        name_end = 2 + self.blob[model + 1]
        opcodes = [0, 1, name_end, name_end + memo]  # and, second, the length of the name
        rows = self.text[p : p + count * size].reshape(count, size)
        others = np.flatnonzero((rows[:, opcodes] != self.text[model:p][opcodes]).any(axis=1))
        return p + size * np.arange(others[0] if len(others) else count)

    def _take_files(self, at: NDArray[np.int64], memo: int) -> None:
        positions = at.tobytes()
        self.names.frombytes(positions)
        if memo:
            self.memo.frombytes(positions)
        self.values.frombytes((at + 2 + memo + self.text[at + 1]).tobytes())

    def _take_few_files(self, at: list[int], memo: int) -> None:
        """As `_take_files`, which takes longer for a few."""
        self.names.extend(at)
        if memo:
            self.memo.extend(at)
        self.values.extend([p + 2 + memo + self.blob[p + 1] for p in at])

    def _name(self, p: int, size: int) -> int:
        if p + size > len(self.blob):
            raise self.error("a name goes on after its end", p)
        self._push_name(p)
        return p + size

    def _push_name(self, position: int) -> None:
        self.stack.append(_Name(len(self.names)))
        self.names.append(position)
        self.values.append(0)

    def _integer(self, p: int) -> int:
        stack = self.stack
        if not stack or not isinstance(stack[-1], _Name):
            raise self.error("a record number without a name", p)
        entry = stack.pop().entry  # type: ignore[union-attr]
        self.values[entry] = p
        self._push_files(entry, entry + 1)
        return p + _INT_BYTES[self.blob[p]]

    def _get(self, p: int, size: int) -> int:
        number = self._number(p, size)
        if number >= len(self.memo):
            raise self.error(f"it refers to memo {number}, which was never set", p)
        kept = self.memo[number]
        if kept >= 0:
            self._push_name(kept)
        elif kept == _MEMO_CLASS:
            self.stack.append(_THE_CLASS)
        else:
            raise self.error("a directory stands in it twice", p)
        return p + 1 + size

    def _put(self, number: int, p: int, size: int) -> int:
        if number != len(self.memo) or not self.stack:
            raise self.error(f"memo {number} is set out of turn", p)
        top = self.stack[-1]
        if isinstance(top, _Name):
            self.memo.append(self.names[top.entry])
        else:
            self.memo.append(_MEMO_CLASS if top is _THE_CLASS else _MEMO_OTHER)
        return p + size

    def _stack_global(self, p: int) -> int:
        stack = self.stack
        if len(stack) < 2 or not all(isinstance(value, _Name) for value in stack[-2:]):
            raise self.error("a STACK_GLOBAL without two names", p)
        if [self._short_text(position) for position in self.names[-2:]] != [b"collections", b"OrderedDict"]:
            raise self.error("it names a class other than collections.OrderedDict", p)
        del self.names[-2:], self.values[-2:]  # they were no entries
        stack[-2:] = [_THE_CLASS]
        return p + 1

    def _short_text(self, p: int) -> bytes:
        b = self.blob
        return b[p + 2 : p + 2 + b[p + 1]] if b[p] == SHORT_BINUNICODE else b""

    def _close_batch(self, p: int) -> int:
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
        return p + 1

    def _close_single(self, p: int) -> int:
        stack = self.stack
        last = stack.pop() if stack else None
        if isinstance(last, _Files) and last.end - last.begin == 1 and stack and isinstance(stack[-1], _Directory):
            self.spans.extend((last.begin, last.end, stack[-1].number))
            return p + 1
        name = stack.pop() if stack else None
        owner = stack[-1] if stack else None
        if not isinstance(name, _Name) or not isinstance(owner, _Directory):
            raise self.error("a SETITEM without a directory, a name and a value", p)
        self._own_directory(owner, name, last, p)
        return p + 1

    def _own_directory(self, owner: _Directory, name: _Name, value: _StackValue | None, p: int) -> None:
        if not isinstance(value, _Directory):
            raise self.error("a name without a record number or a directory", p)
        self.values[name.entry] = -1 - value.number
        self.spans.extend((name.entry, name.entry + 1, owner.number))
