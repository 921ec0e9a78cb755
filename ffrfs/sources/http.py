"""An object on an HTTP server, read by ranges.

The first request gives size, version and the beginning, where an archive has its header. Every later reply must be of
the same version, so that bytes of two never mix.
"""

from __future__ import annotations

import email.utils
import errno
import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError

from ffrfs.errors import ChangedError, FormatError
from ffrfs.sources.source import Source
from ffrfs.sources.transfer import Reply, Target, send

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Address", "HttpObject", "PlainAddress", "error_code", "failure"]

_HEAD_BYTES = 1 << 16  # what the first request brings: the whole header of an archive of 5,000 records
_PEEK_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_REDIRECTS = 5
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")
_CODE = re.compile(rb"<Code>(\w+)</Code>")


class Address(Protocol):
    """Where an object is, and how a request for it is made. Pickles."""

    name: str
    place: str

    def target(self, method: str, headers: Mapping[str, str]) -> Target:
        """URL and headers of a request. Raises: ConfigError, OSError."""

    def answered(self, reply: Reply, code: str) -> bool:
        """Learn from a reply that is no data; returns whether another request may do better."""


class PlainAddress:
    """An http:// or https:// URL, which may be presigned; redirects are followed each time, since they may age."""

    def __init__(self, url: str, name: str) -> None:
        self.name, self.place, self._url = name, name, url

    def __reduce__(self) -> tuple[Any, ...]:
        return PlainAddress, (self._url, self.name)

    def target(self, method: str, headers: Mapping[str, str]) -> Target:
        """As for every address."""
        return self._url, headers

    def answered(self, reply: Reply, code: str) -> bool:
        """As for every address."""
        return False


class HttpObject(Source):
    """An object at an address. Raises: FileNotFoundError, PermissionError; FormatError, OSError for a server that
    cannot be read from by ranges."""

    def __init__(self, address: Address) -> None:
        self._address, self.name, self.place = address, address.name, address.place
        self.identity = ""  # until the first answer
        self._etag = ""
        self._kept: tuple[tuple[int, memoryview], ...] = ()
        self._open()

    def __reduce__(self) -> tuple[Any, ...]:
        return HttpObject, (self._address,)

    def read_into(self, offset_bytes: int, buffer: WriteableBuffer) -> None:
        """As for every source."""
        view = memoryview(buffer).cast("B")
        for begin, kept in self._kept:
            at = offset_bytes - begin
            if at >= 0 and at + len(view) <= len(kept):
                view[:] = kept[at : at + len(view)]
                return
        if len(view):
            self._get(offset_bytes, view)

    def peek_into(self, offset_bytes: int, buffer: WriteableBuffer, likely_bytes: int) -> None:
        """As for every source."""
        length = max(min(likely_bytes, _PEEK_BYTES, self.size_bytes - offset_bytes), memoryview(buffer).nbytes)
        ahead = memoryview(bytearray(length))
        self.read_into(offset_bytes, ahead)
        self._kept = (*self._kept[:1], (offset_bytes, ahead))
        self.read_into(offset_bytes, buffer)

    def close(self) -> None:
        """As for every source. Connections stay open for other objects of the server."""
        self._kept = ()

    def _open(self) -> None:
        head = memoryview(bytearray(_HEAD_BYTES))
        reply = self._request(0, head, patient=False)
        empty = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
        if (reply.status == 416 and empty and empty[3] == "0") or _is_empty(reply):
            self._note_version(reply.headers, 0)
        elif reply.status != 206:
            raise self._failure(reply)
        self._kept = ((0, head[: min(_HEAD_BYTES, self.size_bytes)]),)

    def _get(self, offset: int, view: memoryview) -> None:
        reply = self._request(offset, view)
        if reply.status != 206:
            raise self._failure(reply)

    def _request(self, offset: int, view: memoryview, patient: bool = True) -> Reply:
        """Fill a view; what a broken try has brought is not asked for again. Returns: the last reply."""
        done = 0
        location = ""
        redirects = 0

        def target() -> Target:
            headers = {"Range": f"bytes={offset + done}-{offset + len(view) - 1}"}
            if self._etag.startswith('"'):  # a weak one never matches
                headers["If-Match"] = self._etag
            return (location, headers) if location else self._address.target("GET", headers)

        def receive(response: BaseHTTPResponse) -> None:
            nonlocal done
            end = self._check_range(response.headers, offset + done, offset + len(view)) - offset
            while done < end:
                chunk = response.read(min(_CHUNK_BYTES, end - done))
                if not chunk:
                    raise ProtocolError("cut short")
                view[done : done + len(chunk)] = chunk
                done += len(chunk)

        while True:
            reply = send(self.name, "GET", target, None, receive, len(view), patient)
            if reply.status in (301, 302, 303, 307, 308) and "Location" in reply.headers and redirects < _REDIRECTS:
                location, redirects = urljoin(target()[0], reply.headers["Location"]), redirects + 1
            elif reply.status == 206 or not self._address.answered(reply, error_code(reply)):
                return reply

    def _check_range(self, headers: Mapping[str, str], begin: int, end: int) -> int:
        """Check that a reply is of the version that was opened, and what was asked for; returns where its bytes end."""
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if match is None or match[1] is None or headers.get("Content-Encoding", "identity") != "identity":
            raise OSError(errno.EOPNOTSUPP, "the server answers a range with something else", self.name)
        size = int(match[3])
        self._note_version(headers, size)
        end = min(end, size)
        if (int(match[1]), int(match[2]) + 1) != (begin, end):
            raise OSError(errno.EOPNOTSUPP, "the server answers a range with another one", self.name)
        return end

    def _note_version(self, headers: Mapping[str, str], size: int) -> None:
        etag, modified = headers.get("ETag", "" if size else "empty"), headers.get("Last-Modified", "")
        if not etag and not modified:
            raise FormatError(self.name, "its server gives neither ETag nor Last-Modified, so versions could mix")
        identity = f"{etag or modified}:{size}"
        if self.identity and identity != self.identity:
            raise self._changed()
        self.identity, self._etag, self.size_bytes = identity, etag, size
        self.mtime_ns = _nanoseconds(modified)
        self.tag_ns = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "little") >> 1

    def _failure(self, reply: Reply) -> Exception:
        """The exception for a reply that is no data."""
        if reply.status in (404, 410, 412, 416) and self.identity:
            return self._changed()
        if reply.status == 200:
            return OSError(errno.EOPNOTSUPP, "the server ignores ranges, so an archive cannot be read there", self.name)
        return failure(self.name, reply)

    def _changed(self) -> ChangedError:
        return ChangedError(self.name, "it was replaced or removed since it was opened: mount or open it again")


def _is_empty(reply: Reply) -> bool:
    return reply.status == 200 and reply.headers.get("Content-Length") == "0"


def failure(name: str, reply: Reply) -> OSError:
    """The exception for an answer that refuses a request."""
    status, code = reply.status, error_code(reply)
    said = f"HTTP {status} {code}".rstrip()
    if status in (404, 410):
        return FileNotFoundError(errno.ENOENT, f"there is no such object ({said})", name)
    if status in (401, 403) or "Expired" in code or "Token" in code:
        return PermissionError(errno.EACCES, f"access is refused ({said}): check the credentials", name)
    return OSError(errno.EIO, f"the server answers {said}", name)


def error_code(reply: Reply) -> str:
    """What S3 servers call the error."""
    match = _CODE.search(reply.body)
    return match[1].decode() if match else ""


def _nanoseconds(date: str) -> int:
    try:
        return int(email.utils.parsedate_to_datetime(date).timestamp()) * 10**9
    except ValueError:
        return 0
