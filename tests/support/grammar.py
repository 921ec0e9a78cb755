"""Trees generated from the grammar that docs/format.md gives for them."""

from __future__ import annotations

import random
import re
import struct

__all__ = ["TreeGenerator", "productions"]

_RULE = re.compile(r"^    (\w+) += (.+)$", re.MULTILINE)
_TOKEN = re.compile(r"[A-Za-z_0-9]+|[\[\]{}|]")
_MAX_DEPTH = 4


def productions(text: str) -> dict[str, list[list[object]]]:
    """The rules of a grammar, by name: alternatives, each a list of symbols.

    A symbol is a name, or a pair of "?" or "*" and the list of symbols that may be left out or repeated.
    """
    rules = _RULE.findall(text[text.index("    pickle    =") :])
    return {name: _alternatives(_TOKEN.findall(rule)) for name, rule in rules if _TOKEN.findall(rule)[0] != name}


def _alternatives(tokens: list[str]) -> list[list[object]]:
    found: list[list[object]] = [[]]
    open_lists = [found[0]]
    for token in tokens:
        if token == "|":
            found.append([])
            open_lists = [found[-1]]
        elif token in "[{":
            inner: list[object] = []
            open_lists[-1].append(("?" if token == "[" else "*", inner))
            open_lists.append(inner)
        elif token in "]}":
            open_lists.pop()
        else:
            open_lists[-1].append(token)
    return found


class TreeGenerator:
    """Random derivations of the grammar, with what it says in words: names unlike each other, memos in turn.

    Args: rules, as `productions` gives them; numbers, the source of choices; records, how many a file may name.
    """

    def __init__(self, rules: dict[str, list[list[object]]], numbers: random.Random, records: int) -> None:
        self._rules, self._numbers, self._records = rules, numbers, records
        self._out = bytearray()
        self._memo: list[bytes | None] = []  # a text, or None for anything else
        self._class_memo: list[int] = []
        self._texts: list[bytes] = []  # to be written next, for a class
        self._used: list[set[bytes]] = []  # names of each directory that is open
        self._last: bytes | str = b""  # what a memo would keep: a text, or the kind of something else
        self._names = 0

    def pickle(self) -> bytes:
        """One tree."""
        self._derive("pickle")
        return bytes(self._out)

    def _derive(self, symbol: object) -> None:
        if isinstance(symbol, tuple):
            kind, inner = symbol
            times = self._numbers.randrange(2) if kind == "?" else self._numbers.choice((0, 1, 1, 2, 3, 40))
            if inner == ["batch"] or "directory" in inner or len(self._used) >= _MAX_DEPTH:
                times = min(times, 2)
            for _ in range(times):
                for part in inner:
                    self._derive(part)
        elif symbol in self._rules:
            self._rule(str(symbol))
        else:
            self._terminal(str(symbol))

    def _rule(self, name: str) -> None:
        alternatives = [alternative for alternative in self._rules[name] if self._possible(name, alternative)]
        parts = self._numbers.choice(alternatives)
        if name == "directory":
            self._used.append(set())
        if name == "class" and "STACK_GLOBAL" in parts:
            self._texts = [b"collections", b"OrderedDict"]
        if name == "class" and parts == ["get"]:
            self._get(self._numbers.choice(self._class_memo))
        elif name == "text" and parts == ["get"]:
            self._get(self._numbers.choice(self._gettable()))
        else:
            for part in parts:
                self._derive(part)
        if name == "directory":
            self._used.pop()
        if name == "class":
            self._last = "class"

    def _possible(self, name: str, parts: list[object]) -> bool:
        if parts == ["get"]:
            return bool(self._class_memo if name == "class" else self._gettable())
        return not (parts == ["directory"] and len(self._used) > _MAX_DEPTH)

    def _gettable(self) -> list[int]:
        wanted = {self._texts[0]} if self._texts else None
        used = self._used[-1]
        return [
            number
            for number, text in enumerate(self._memo)
            if text is not None and (text in wanted if wanted is not None else text not in used)
        ]

    def _get(self, number: int) -> None:
        self._frame()
        self._out += b"h" + bytes([number]) if number < 256 and self._numbers.randrange(2) else _long(b"j", number)
        text = self._memo[number]
        if text is not None:
            self._take(text)

    def _take(self, text: bytes) -> None:
        """A text was written or got: as one of a class, or as a name."""
        if self._texts:
            self._texts.pop(0)
        else:
            self._used[-1].add(text)

    def _frame(self) -> None:
        if self._out and self._numbers.randrange(10) == 0:
            self._out += b"\x95" + bytes(8)

    def _terminal(self, opcode: str) -> None:
        self._frame()
        if opcode in ("SHORT_BINUNICODE", "BINUNICODE"):
            self._text(opcode)
        elif opcode in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            self._put(opcode)
        elif opcode.startswith("BININT"):
            layout = {"BININT1": "<cB", "BININT2": "<cH", "BININT": "<ci"}[opcode]
            code = {"BININT1": b"K", "BININT2": b"M", "BININT": b"J"}[opcode]
            self._out += struct.pack(layout, code, self._numbers.randrange(self._records))
        else:
            self._out += {
                "PROTO": b"\x80\x04", "STOP": b".", "EMPTY_TUPLE": b")", "REDUCE": b"R", "STACK_GLOBAL": b"\x93",
                "GLOBAL": b"ccollections\nOrderedDict\n", "MARK": b"(", "SETITEMS": b"u", "SETITEM": b"s",
            }[opcode]  # fmt: skip
            self._last = "class" if opcode in ("STACK_GLOBAL", "GLOBAL") else "other"

    def _text(self, opcode: str) -> None:
        if self._texts:
            text = self._texts[0]
        else:
            self._names += 1
            text = (
                self._numbers.choice(("%d", "name%d", "%d" + "x" * 200, "\xe9%d"))
                .replace("%d", str(self._names))
                .encode()
            )
        self._out += b"\x8c" + bytes([len(text)]) + text if opcode[0] == "S" else _long(b"X", len(text)) + text
        self._take(text)
        self._last = text

    def _put(self, opcode: str) -> None:
        number = len(self._memo)
        if opcode == "MEMOIZE":
            self._out += b"\x94"
        else:
            self._out += b"q" + bytes([number]) if opcode == "BINPUT" and number < 256 else _long(b"r", number)
        self._memo.append(self._last if isinstance(self._last, bytes) else None)
        if self._last == "class":
            self._class_memo.append(number)


def _long(code: bytes, number: int) -> bytes:
    return code + struct.pack("<I", number)
