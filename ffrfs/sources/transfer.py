"""HTTP requests that are tried again: connections, waiting, and the end of patience. Needs urllib3.

Connections belong to a process: a forked child makes its own, and never touches those of its parent. No message shows
a URL, since its query may be a signature.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from ffrfs.version import __version__

__all__ = ["Reply", "Target", "send"]

logger = logging.getLogger(__name__)

logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs URLs, whose query may be a signature

TRY_SECONDS = 10.0  # that a server may say nothing
TOTAL_SECONDS = 60.0  # for a request with all its tries
_BYTES_PER_SECOND = 1 << 20  # what a large transfer gets more time for
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 5.0
_CONNECTIONS = 128  # kept open to one server
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_ERROR_BYTES = 1 << 16  # of a reply that is no data

Target = tuple[str, Mapping[str, str]]  # URL and headers

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status, headers, and the body where it was not received as data."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def retry_after_seconds(self) -> float | None:
        """What the server asks to wait, if it says so in seconds."""
        text = self.headers.get("Retry-After", "")
        return float(text) if text.isdecimal() else None


class _Connections:
    """The connections of this process, by proxy."""

    def __init__(self) -> None:
        self._pid = 0
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._inherited: list[dict[str, urllib3.PoolManager]] = []  # never closed here: their locks may be held

    def to(self, url: str) -> urllib3.PoolManager:
        """What to send a request for the URL through."""
        if self._pid != os.getpid():
            self._inherited.append(self._pools)
            self._pools, self._pid = {}, os.getpid()
        proxy = _proxy(url)
        pool = self._pools.get(proxy)
        if pool is None:
            pool = self._pools[proxy] = _new_pool(proxy)
        return pool


_connections = _Connections()


def _new_pool(proxy: str) -> urllib3.PoolManager:
    authorities = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    if proxy:
        return urllib3.ProxyManager(proxy, num_pools=16, maxsize=_CONNECTIONS, ca_certs=authorities)
    return urllib3.PoolManager(num_pools=16, maxsize=_CONNECTIONS, ca_certs=authorities)


def _proxy(url: str) -> str:
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return urllib.request.getproxies().get(parts.scheme, "")


def send(
    name: str,
    method: str,
    target: Callable[[], Target],
    body: bytes | None = None,
    receive: Callable[[urllib3.BaseHTTPResponse], None] | None = None,
    transfer_bytes: int = 0,
    patient: bool = True,
) -> Reply:
    """Send a request until there is an answer that is final.

    Args: name, for messages; target, asked before each try, since signatures age; receive, called with a response
    of status 206, to take its body; transfer_bytes, how much goes either way; patient, whether a server that cannot
    be found is looked for again.
    Raises: OSError, EIO, if there is none in time; what `target` and `receive` raise.
    """
    end = time.monotonic() + TOTAL_SECONDS + transfer_bytes / _BYTES_PER_SECOND
    wait_seconds, tries = _FIRST_WAIT_SECONDS, 0
    while True:
        tries += 1
        asked_seconds = None
        try:
            reply = _once(method, target(), body, receive, end)
            if reply.status not in _PASSING:
                return reply
            problem, asked_seconds = f"the server answers HTTP {reply.status}", reply.retry_after_seconds()
        except HTTPError as error:
            problem = _reason(error)
            if isinstance(error, SSLError) or (not patient and isinstance(error, NewConnectionError)):
                raise OSError(errno.EIO, problem, name) from None
        pause_seconds = wait_seconds * _random.uniform(0.5, 1) if asked_seconds is None else asked_seconds
        wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
        if time.monotonic() + pause_seconds >= end:
            raise OSError(errno.EIO, f"given up after {tries} tries: {problem}", name)
        logger.info("%s: %s; trying again in %.1f s", name, problem, pause_seconds)
        time.sleep(pause_seconds)


def _once(
    method: str,
    target: Target,
    body: bytes | None,
    receive: Callable[[urllib3.BaseHTTPResponse], None] | None,
    end: float,
) -> Reply:
    url, headers = target
    seconds = max(min(TRY_SECONDS, end - time.monotonic()), 0.01)
    response = _connections.to(url).request(
        method,
        url,
        body=body,
        headers={"User-Agent": f"ffrfs/{__version__}", "Accept-Encoding": "identity", **headers},
        preload_content=False,
        decode_content=False,
        redirect=False,
        retries=False,
        timeout=urllib3.Timeout(connect=seconds, read=seconds),
    )
    content, whole = b"", False
    try:
        if receive is not None and response.status == 206:
            receive(response)
        elif method != "HEAD":
            content = response.read(_ERROR_BYTES)
        whole = not response.length_remaining
        if not whole and method != "HEAD" and len(content) < _ERROR_BYTES:
            raise ProtocolError("cut short")
    finally:
        if whole:
            response.release_conn()
        else:
            response.close()
    return Reply(response.status, response.headers, content)


def _reason(error: HTTPError) -> str:
    """What went wrong, without the URL that urllib3 puts into its messages."""
    if isinstance(error, NameResolutionError):
        return "the server's name cannot be resolved"
    if isinstance(error, NewConnectionError):
        cause = error.__cause__
        return f"the server cannot be reached ({getattr(cause, 'strerror', None) or 'no connection'})"
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return f"the server says nothing for {TRY_SECONDS:.0f} s"
    if isinstance(error, SSLError):
        return f"no secure connection: {getattr(error.args[0], 'reason', None) or 'TLS failed'}"
    return "the connection was closed before the answer was whole"
