"""What systemd does for a service with a descriptor store: it keeps descriptors that come by sd_notify(3), and passes
them to the next start as sd_listen_fds(3) says. A small stand-in, so that this can be tested without booting a node.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import command, environment, new_mark, wait_until

# Puts descriptors where they are looked for, and says so.
_STARTER = """
import os, sys
kept, arguments = sys.argv[1], sys.argv[2:]
copies = [os.dup2(int(fd), 100 + number) for number, fd in enumerate(filter(None, kept.split(",")))]
for number, fd in enumerate(copies):
    os.dup2(fd, 3 + number)
if copies:
    names = ":".join(["ffrfs"] * len(copies))
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(copies)), "LISTEN_FDNAMES": names}
os.execv(arguments[0], arguments)
"""


class Store:
    """Attributes: descriptors, kept now, by name; said, all assignments so far."""

    def __init__(self, folder: Path) -> None:
        self.descriptors: dict[str, list[int]] = {}
        self.said: list[str] = []
        self.address = folder / "notify"
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(os.fspath(self.address))
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Keep nothing any longer."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._remove("ffrfs")

    def _listen(self) -> None:
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 16, 16)
            if not message:
                self._socket.close()
                return
            lines = message.decode().splitlines()
            facts = dict(line.split("=", 1) for line in lines)
            if "FDSTORE" in facts:
                with self._lock:
                    self.descriptors.setdefault(facts["FDNAME"], []).extend(descriptors)
            if "FDSTOREREMOVE" in facts:
                self._remove(facts["FDNAME"])
            self.said += lines

    def _remove(self, name: str) -> None:
        with self._lock:
            for fd in self.descriptors.pop(name, []):
                os.close(fd)

    def passed(self) -> list[int]:
        """The descriptors for the next start; systemd keeps none that has an error, such as an aborted connection."""
        kept = []
        with self._lock:
            for fd in self.descriptors.get("ffrfs", []):
                poll = select.poll()
                poll.register(fd, 0)
                if not poll.poll(0):
                    kept.append(fd)
        return kept


class Service:
    """One `ffrfs mount -f` that is started again and again.

    Attributes: process, of the last start; log, of all; store; mark, of its processes.
    """

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.log, self.mark = folder / "service.log", new_mark()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str | os.PathLike[str], wait: bool = True, **variables: str) -> None:
        """Start it, by the arguments of `ffrfs mount -f`, and wait until it is ready."""
        kept = self.store.passed()
        before = self.ready()
        whole = [sys.executable, "-c", _STARTER, ",".join(map(str, kept)), *command("mount", "-f", *arguments)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                whole,
                env={**environment(self.mark), "NOTIFY_SOCKET": os.fspath(self.store.address), **variables},
                pass_fds=kept,
                stdout=log,
                stderr=log,
            )
        if wait:
            wait_until(lambda: self.ready() > before, "it is ready", 60)

    def ready(self) -> int:
        """How often it has said that it is ready."""
        return self.store.said.count("READY=1")

    def kill(self) -> None:
        """End it by SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def signal(self, number: int) -> None:
        """Send the supervisor a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it as `systemctl stop` does; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def service(folder: Path) -> Iterator[Service]:
    """A service, which ends with the block."""
    one = Service(folder)
    try:
        yield one
    finally:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.store.close()
