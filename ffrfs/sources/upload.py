"""An object on S3 that gets its name when all of it is there: parts of a multipart upload, those of the header last."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import re
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from ffrfs.errors import ConfigError
from ffrfs.sources.opening import redacted
from ffrfs.sources.source import Access

__all__ = ["PendingObject"]

_MIN_PART_BYTES = 1 << 24
_MAX_PARTS = 10_000  # of one upload
_EXPECTED_PARTS = 9_000  # for what is expected, so that there is room if it gets larger
_UPLOADS = 4  # parts under way; each is in memory
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")


class PendingObject:
    """An object that gets its name at `commit`. Needs urllib3 and botocore.

    Args: url, s3://BUCKET/KEY; late_bytes, at the beginning, which are written last; expected_bytes, about how many it
    will have. Except for the beginning, it is written in order. For one thread at a time.
    Raises: ConfigError for another URL, or without the libraries; OSError, PermissionError where it cannot be.
    """

    def __init__(self, url: str, late_bytes: int, expected_bytes: int = 0, access: Access | None = None) -> None:
        if urlsplit(url).scheme != "s3":
            raise ConfigError(f"{redacted(url)}: archives can be written to files and to s3://BUCKET/KEY only")
        try:
            from ffrfs.sources.s3 import S3Address
        except ImportError as error:
            raise ConfigError(
                f"{url}: writing to s3:// needs {error.name}, which is missing: pip install 'ffrfs[s3]'"
            ) from None
        self.target = url
        self._address = S3Address(url, access or Access())
        self._part_bytes = max(_MIN_PART_BYTES, -(-expected_bytes // _EXPECTED_PARTS))
        self._late_parts = -(-late_bytes // self._part_bytes)
        self._parts: dict[int, bytearray] = {}  # begun, by number from 0
        self._etags: dict[int, str] = {}
        self._upload_id = ""
        self._pool = ThreadPoolExecutor(_UPLOADS, "ffrfs-upload")
        self._sending: deque[Future[None]] = deque()
        self._open = True

    def pwrite(self, data: memoryview, offset: int) -> int:
        """Write bytes at an offset; returns how many. Raises: OSError, also for parts that were sent earlier."""
        number, at = divmod(offset, self._part_bytes)
        if number >= _MAX_PARTS:
            raise OSError(errno.EFBIG, "it is larger than an upload can be: pack it into shards", self.target)
        data = data[: self._part_bytes - at]
        part = self._parts.setdefault(number, bytearray())
        if len(part) < at:
            part += bytes(at - len(part))
        part[at : at + len(data)] = data
        if len(part) == self._part_bytes and number >= self._late_parts:
            self._send(number)
        return len(data)

    def commit(self, mode: int | None = None) -> None:
        """Send what is left, and give the object its name. Raises: OSError; then nothing has appeared."""
        if not self._upload_id and len(self._parts) == 1:
            self._request("PUT", {}, bytes(self._parts[0]))
        else:
            for number in sorted(self._parts, reverse=True):
                if number < self._late_parts:
                    self._wait()
                self._send(number)
            self._wait()
            self._complete()
        self._open = False
        self._pool.shutdown()

    def abort(self) -> None:
        """Give up what was sent. Harmless after `commit` and a second time."""
        if not self._open:
            return
        self._open = False
        self._pool.shutdown(cancel_futures=True)
        self._parts.clear()
        if self._upload_id:
            with contextlib.suppress(OSError):
                self._request("DELETE", {"uploadId": self._upload_id})

    def _send(self, number: int) -> None:
        if not self._upload_id:
            reply = self._request("POST", {"uploads": ""})
            match = _UPLOAD_ID.search(reply.body)
            if match is None:
                raise OSError(errno.EIO, "the server begins no upload", self.target)
            self._upload_id = match[1].decode()
        while len(self._sending) >= _UPLOADS:
            self._sending.popleft().result()
        self._sending.append(self._pool.submit(self._send_part, number, bytes(self._parts.pop(number))))

    def _wait(self) -> None:
        while self._sending:
            self._sending.popleft().result()

    def _send_part(self, number: int, data: bytes) -> None:
        reply = self._request("PUT", {"partNumber": str(number + 1), "uploadId": self._upload_id}, data)
        self._etags[number] = reply.headers["ETag"]

    def _complete(self) -> None:
        parts = "".join(
            f"<Part><PartNumber>{number + 1}</PartNumber><ETag>{self._etags[number]}</ETag></Part>"
            for number in sorted(self._etags)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        reply = self._request("POST", {"uploadId": self._upload_id}, body)
        if b"<Error>" in reply.body:  # some answer 200 before they know
            raise OSError(errno.EIO, "the server could not complete the upload", self.target)

    def _request(self, method: str, query: dict[str, str], body: bytes = b"") -> Any:
        from ffrfs.sources.http import error_code, failure
        from ffrfs.sources.transfer import send

        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        headers = {"Content-MD5": digest} if body else {}
        while True:
            reply = send(
                self.target,
                method,
                lambda: self._address.target(method, headers, query, body),
                body,
                transfer_bytes=len(body),
            )
            if reply.status < 300:
                return reply
            if not self._address.answered(reply, error_code(reply)):
                raise failure(self.target, reply)
