"""File names as an archive has them: bytes, which are text in UTF-8 whatever this process's locale is. Pure.

`os.fsencode` and `os.fsdecode` are for paths of this system: they follow the locale, and an archive that was packed
under one would have other names under another.
"""

from __future__ import annotations

__all__ = ["decode_name", "encode_name"]


def decode_name(name: bytes) -> str:
    """A name or path as text; bytes that are no UTF-8 become lone surrogates, as in the archive's tree."""
    return name.decode("utf-8", "surrogateescape")


def encode_name(text: str) -> bytes:
    """The bytes of a name or path. Raises: UnicodeEncodeError for surrogates that stand for no byte."""
    return text.encode("utf-8", "surrogateescape")
