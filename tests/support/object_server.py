"""An HTTP server that stores objects, speaks as much of S3 as ffrfs uses, and fails as it is told.

It looks at no signature; tests/remote has a server that does.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

Fault = Callable[["_Handler"], bool]  # does something with a request; returns whether that was the answer


@dataclass
class ObjectServer:
    """The server. Attributes: url; objects, by path; requests, those seen, as (method, path, headers); faults, each
    for one request, in order; always, a fault for each request; uploads, those not completed."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    always: Fault | None = None
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    latency_seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)

    def put(self, path: str, content: bytes) -> str:
        """Store an object; returns its URL."""
        self.objects[path] = content
        return self.url + path

    def ranges(self) -> list[str]:
        """The ranges asked for."""
        return [headers["Range"] for method, _, headers in self.requests if method == "GET" and "Range" in headers]


def status(code: int, error: str = "", **headers: str) -> Fault:
    """Answer with a status; error, as S3 names it."""

    def fault(handler: _Handler) -> bool:
        body = f"<Error><Code>{error}</Code></Error>".encode() if error else b""
        handler.answer(code, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return fault


def hang(handler: _Handler) -> bool:
    """Say nothing until the server ends."""
    handler.server.store.released.wait(120)
    handler.close_connection = True
    return True


def cut(handler: _Handler) -> bool:
    """Close the connection in the middle of the body."""
    handler.cut = True
    return False


def other_version(handler: _Handler) -> bool:
    """Answer as if the object had been replaced, by a server that ignores If-Match."""
    handler.etag_suffix = "-other"
    return False


def no_ranges(handler: _Handler) -> bool:
    """Answer a range with the whole object."""
    del handler.headers["Range"]
    return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    store: ObjectServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    cut = False
    etag_suffix = ""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def handle_any(self) -> None:
        """Any request: fail as told, else serve it."""
        store = self.server.store
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.cut, self.etag_suffix = False, ""
        with store.lock:
            store.requests.append((self.command, self.path, dict(self.headers)))
            fault = store.faults.pop(0) if store.faults else store.always
        if store.latency_seconds:
            time.sleep(store.latency_seconds)
        if fault is not None and fault(self):
            return
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)
        serve = {"GET": self.get, "HEAD": self.get, "PUT": self.store, "POST": self.store, "DELETE": self.store}
        serve[self.command](path, query, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def get(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        """An object, or a range of it."""
        content = self.server.store.objects.get(path)
        if content is None:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        tag = f'"{hashlib.md5(content).hexdigest()}{self.etag_suffix}"'
        if not self.etag_suffix and self.headers.get("If-Match", tag) != tag:
            return self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        headers = {"ETag": tag, "Last-Modified": "Wed, 25 Nov 2026 09:00:00 GMT"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            return self.answer(200, content, headers)
        begin, end = int(asked[1]), min(int(asked[2]) + 1, len(content))
        if begin >= len(content):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(content)}"
        return self.answer(206, content[begin:end], headers)

    def store(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        """PUT, and the requests of a multipart upload."""
        store = self.server.store
        with store.lock:
            if "uploads" in query:
                name = f"upload-{len(store.requests)}"
                store.uploads[name] = {}
                return self.answer(200, f"<X><UploadId>{name}</UploadId></X>".encode())
            upload = query.get("uploadId", [""])[0]
            if upload and upload not in store.uploads:
                return self.answer(404, b"<Error><Code>NoSuchUpload</Code></Error>")
            if self.command == "DELETE":
                store.uploads.pop(upload, None)
                return self.answer(204)
            if self.command == "POST":
                parts = store.uploads.pop(upload)
                store.objects[path] = b"".join(parts[number] for number in sorted(parts))
                return self.answer(200, b"<CompleteMultipartUploadResult/>")
            if upload:
                store.uploads[upload][int(query["partNumber"][0])] = body
            else:
                store.objects[path] = body
            return self.answer(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})

    def answer(self, code: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a reply."""
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.cut:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body)


@contextlib.contextmanager
def object_server() -> Iterator[ObjectServer]:
    """A server on a free port of this machine while the block runs."""
    server = _Server(("127.0.0.1", 0), _Handler)
    store = server.store = ObjectServer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        store.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
