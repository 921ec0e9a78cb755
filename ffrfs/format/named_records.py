"""`filename2idx.pkl` of HFAiLab's converters, a pickled dict of names and record numbers, read without unpickling.

It comes from a stranger, so nothing of it is executed. The only opcodes accepted make up this grammar, with PROTO,
FRAME and opcodes that store to the memo, from which nothing is fetched, passed over wherever they stand:

    pickle = EMPTY_DICT {batch} STOP
    batch  = MARK {name number} SETITEMS | name number SETITEM
    name   = SHORT_BINUNICODE | BINUNICODE          number = BININT1 | BININT2 | BININT

Source of the opcodes: CPython Lib/pickletools.py, which also splits the bytes into them.
"""

from __future__ import annotations

import pickletools

from ffrfs.errors import FormatError

__all__ = ["parse_named_records"]

_PASSED_OVER = frozenset(("PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT"))
_NAMES = frozenset(("SHORT_BINUNICODE", "BINUNICODE"))
_NUMBERS = frozenset(("BININT1", "BININT2", "BININT"))


def parse_named_records(path: str, blob: bytes, n_records: int) -> dict[str, int]:
    """The names and the numbers of their records.

    Args: path, for errors; blob, the pickle; n_records, how many records there are.
    Raises: FormatError for anything but a dict of str and of int that are record numbers. Cost: some 4 µs a name.
    """
    parser = _Parser(path, n_records)
    try:
        for opcode, argument, position in pickletools.genops(blob):
            if opcode.name not in _PASSED_OVER:
                parser.step(opcode.name, argument, position or 0)
    except (ValueError, IndexError, OverflowError) as problem:
        raise FormatError(path, f"it is no dictionary of names and record numbers: {problem}") from None
    if not parser.ended or not blob.endswith(b"."):
        raise FormatError(path, "it is no dictionary of names and record numbers: it does not end with its STOP")
    return parser.names


class _Parser:
    """What was read so far: names; pending, how many entries no batch has closed; marked, whether a batch is open."""

    def __init__(self, path: str, n_records: int) -> None:
        self.path, self.n_records = path, n_records
        self.names: dict[str, int] = {}
        self.begun = self.marked = self.ended = False
        self.pending = 0
        self.name: str | None = None

    def step(self, opcode: str, argument: object, position: int) -> None:
        """Take one opcode. Raises: FormatError if it has no place there."""
        between = self.begun and self.name is None
        idle = between and not self.marked
        if between and opcode in _NAMES and (self.marked or not self.pending) and isinstance(argument, str):
            self.name = argument
        elif self.name is not None and opcode in _NUMBERS and isinstance(argument, int):
            self._add(argument, position)
        elif opcode == "EMPTY_DICT" and not self.begun:
            self.begun = True
        elif opcode == "MARK" and idle and not self.pending:
            self.marked = True
        elif (opcode == "SETITEMS" and between and self.marked) or (opcode == "SETITEM" and idle and self.pending):
            self.marked, self.pending = False, 0
        elif opcode == "STOP" and idle and not self.pending:
            self.ended = True
        else:
            raise FormatError(
                self.path, f"pickle opcode {opcode} has no place in a dictionary of str and int", offset=position
            )

    def _add(self, record: int, position: int) -> None:
        name, self.name = self.name or "", None
        if name in self.names:
            raise FormatError(self.path, f"the name {name!r} stands in it twice", offset=position)
        if not 0 <= record < self.n_records:
            raise FormatError(
                self.path, f"{name!r} has record {record}, and there are 0 to {self.n_records - 1}", offset=position
            )
        self.names[name] = record
        self.pending += 1
