"""From the name of an archive's file, a path or a URL, to the source of its bytes."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

from ffrfs.errors import ConfigError
from ffrfs.sources.local_file import LocalFile
from ffrfs.sources.source import Access, Source

__all__ = ["absolute", "expand", "is_url", "open_source", "redacted"]

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_NUMBERS = re.compile(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", re.DOTALL)
_EXTRAS = {"http": "http", "https": "http", "s3": "s3"}
_MAX_SHARDS = 100_000


def is_url(name: str | os.PathLike[str]) -> bool:
    """Whether a name is a URL, file:// excepted, and not a path."""
    text = os.fspath(name)
    return _URL.match(text) is not None and not text.lower().startswith("file://")


def absolute(name: str | os.PathLike[str]) -> str:
    """A name that means the same in another folder."""
    text = os.fspath(name)
    if is_url(text):
        return text
    return os.path.abspath(unquote(urlsplit(text).path) if text.lower().startswith("file://") else text)


def redacted(name: str) -> str:
    """A name as it may be shown: without a URL's query, which may be a signature, and without a password in it."""
    if not is_url(name):
        return name
    scheme, _, rest = name.partition("://")
    if scheme.lower() in ("http", "https"):
        rest = rest.partition("?")[0].partition("#")[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def expand(url: str) -> list[str]:
    """The URLs that one with a range of numbers means: `…/PART_{00000..00063}.ffr`, as WebDataset writes them.

    Raises: ConfigError for a range that is none.
    """
    match = _NUMBERS.fullmatch(url)
    if match is None:
        return [url]
    front, first, last, back = match.groups()
    if not int(first) <= int(last) < int(first) + _MAX_SHARDS:
        raise ConfigError(f"{redacted(url)}: {{{first}..{last}}} is no range of numbers that shards can have")
    return [f"{front}{number:0{len(first)}d}{back}" for number in range(int(first), int(last) + 1)]


def open_source(name: str, access: Access | None = None) -> Source:
    """Open a file by its path or URL. Raises: ConfigError, FormatError; OSError, such as FileNotFoundError."""
    if not is_url(name):
        return LocalFile(name)
    scheme, shown = name.partition("://")[0].lower(), redacted(name)
    if scheme in ("http", "https") and "@" in urlsplit(name).netloc:
        raise ConfigError(f"{shown}: a URL must have no password in it; presign it, or serve it without one")
    try:
        return _open(scheme, name, shown, access or Access())
    except ImportError as error:
        extra = _EXTRAS.get(scheme, "fsspec")
        raise ConfigError(
            f"{shown}: reading {scheme}:// needs {error.name}, which is missing: pip install 'ffrfs[{extra}]'"
        ) from None


def _open(scheme: str, name: str, shown: str, access: Access) -> Source:
    if scheme in ("http", "https"):
        from ffrfs.sources.http import HttpObject, PlainAddress

        return HttpObject(PlainAddress(name, shown))
    if scheme == "s3":
        from ffrfs.sources.http import HttpObject
        from ffrfs.sources.s3 import S3Address

        return HttpObject(S3Address(name, access))
    from ffrfs.sources.other import FsspecObject

    return FsspecObject(name, shown)
