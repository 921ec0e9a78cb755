"""A real S3 server: Ceph's radosgw over one monitor, one manager and one store in memory, all of this machine.

It checks signatures, If-Match and multipart uploads. `python -m tests.support.radosgw` keeps one up to be tried.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.config
import botocore.session

PROGRAMS = ("ceph-mon", "ceph-mgr", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph")
ACCESS_KEY, SECRET_KEY = "FFRFSTESTKEY", "ffrfs-test-secret"
_START_SECONDS = 120.0

_COMMON = """
[global]
fsid = {fsid}
mon host = {monitors}
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
mon allow pool size one = true
mon warn on pool no redundancy = false
osd crush chooseleaf type = 0
run dir = {folder}/run
log file = {folder}/log/$name.log
pid file = {folder}/run/$name.pid
admin socket = {folder}/run/$name.asok
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[mgr.x]
mgr data = {folder}/mgr
mgr initial modules =
[mon.a]
mon data = {folder}/mon
mon data avail warn = 1
mon data avail crit = 1
[osd.0]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd op num shards = 2
[client.rgw]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw dns name = localhost
rgw thread pool size = 64
"""


@dataclass(frozen=True)
class Radosgw:
    """A server that answers. Attributes: url."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """With which clients find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def client(self) -> Any:
        """A client of botocore's, for what ffrfs does not do."""
        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=botocore.config.Config(s3={"addressing_style": "path"}),
        )


def missing_programs() -> list[str]:
    """What is not installed of it."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@contextlib.contextmanager
def radosgw() -> Iterator[Radosgw]:
    """A server while the block runs. Raises: RuntimeError if it does not come up."""
    with (
        tempfile.TemporaryDirectory(prefix="ffrfs-rgw-", ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as up,
    ):
        cluster = _Cluster(Path(name), up)
        cluster.start()
        yield Radosgw(f"http://127.0.0.1:{cluster.port}")


class _Cluster:
    def __init__(self, folder: Path, running: contextlib.ExitStack) -> None:
        self._folder, self._running = folder, running
        self.port, v2, v1 = _free_ports(3)
        self._fsid = str(uuid.uuid4())
        self._monitors = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        for part in ("mon", "osd", "mgr", "rgw", "run", "log"):
            (folder / part).mkdir()
        facts = {"folder": folder, "fsid": self._fsid, "port": self.port}
        (folder / "ceph.conf").write_text(_COMMON.format(**facts, monitors=self._monitors))
        # radosgw speaks version 1 here: over version 2 it is refused where nobody authenticates.
        (folder / "rgw.conf").write_text(
            _COMMON.format(**facts, monitors=f"v1:127.0.0.1:{v1}").replace(
                "[mgr.x]", "ms mon client mode = crc\n[mgr.x]"
            )
        )

    def start(self) -> None:
        folder = self._folder
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", self._monitors, folder / "monmap")
        self._run("ceph-mon", *self._as("ceph"), "--mkfs", "-i", "a", "--monmap", folder / "monmap")
        self._serve("ceph-mon", *self._as("ceph"), "-i", "a", "-f")
        self._wait("the monitor", lambda: self._ask("ceph", *self._as("ceph"), "--connect-timeout", "5", "mon", "stat"))
        self._serve("ceph-mgr", *self._as("ceph"), "-i", "x", "-f")
        number = str(uuid.uuid4())
        self._run("ceph", *self._as("ceph"), "osd", "new", number)
        self._run("ceph-osd", *self._as("ceph"), "-i", "0", "--mkfs", "--osd-uuid", number)
        self._serve("ceph-osd", *self._as("ceph"), "-i", "0", "-f")
        as_client = (*self._as("rgw"), "-n", "client.rgw")
        self._serve("radosgw", *as_client, "--auth_client_required", "none", "-f")
        self._wait("radosgw", lambda: _answers(self.port))
        keys = ("--access-key", ACCESS_KEY, "--secret", SECRET_KEY)
        self._run("radosgw-admin", *as_client, "user", "create", "--uid=test", "--display-name=test", *keys)

    def _as(self, name: str) -> tuple[str, str]:
        return "-c", os.fspath(self._folder / f"{name}.conf")

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_START_SECONDS)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")

    def _ask(self, *command: str) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
        return False

    def _serve(self, *command: str) -> None:
        with (self._folder / "log" / f"{command[0]}.out").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running.callback(_end, process)

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + _START_SECONDS
        while not ready():
            if time.monotonic() > until:
                logs = "\n".join(log.read_text(errors="replace")[-500:] for log in (self._folder / "log").glob("*.out"))
                raise RuntimeError(f"{what} does not come up:\n{logs}")
            time.sleep(0.3)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def main() -> None:
    """Keep a server up until Ctrl-C, with a bucket `demo`."""
    with contextlib.suppress(KeyboardInterrupt), radosgw() as server:
        server.client().create_bucket(Bucket="demo")
        print("An S3 server is up, until Ctrl-C. In another terminal:\n")
        print("\n".join(f"  export {name}={value}" for name, value in server.environment.items()))
        print("  ffrfs pack FOLDER s3://demo/folder.ffr")
        print("  ffrfs mount s3://demo/folder.ffr /mnt/folder", flush=True)
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
