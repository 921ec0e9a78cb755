"""A compute node for the tests: a Debian tree booted by systemd-nspawn with systemd as its PID 1.

Every boot gets a mount namespace of its own, in which the tree lies under an overlay and the unified cgroup
hierarchy is where systemd wants it, so that the machine which runs the tests need not itself run systemd.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

BOOT_SECONDS = 90
# Where the environment of `build-tree` has the program under test.
FFRFS = "/opt/ffrfs/bin/ffrfs"

# Runs as PID of nspawn in the end (exec), so that a SIGTERM to it is an orderly power-off of the node.
_BOOT = """
mount -t overlay -o lowerdir="$TREE",upperdir="$STATE/upper",workdir="$STATE/work" node "$STATE/root"
umount --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$NAME"
echo $$ > "/sys/fs/cgroup/$NAME/cgroup.procs"
exec systemd-nspawn --quiet --boot --directory="$STATE/root" --machine="$NAME" --register=no --keep-unit \
    --notify-ready=yes --private-network --link-journal=no --console=pipe \
    --bind=/dev/fuse --bind=/dev/autofs --capability=all --system-call-filter=@mount
"""


class Node:
    """One node: `boot`, `run` commands on it, `power_off`, `boot` again; its disk outlives a boot.

    Args: tree, the Debian tree, never written to; state, a folder on a local disk for what the node writes.
    """

    def __init__(self, tree: Path, state: Path) -> None:
        self.name = f"ffrfs-node-{os.getpid()}"
        self._tree, self._state = tree, state
        self._console = state / "console.log"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        for folder in ("upper", "work", "root"):
            (state / folder).mkdir(parents=True)

    def boot(self) -> None:
        """Boot, and return when the node's systemd has reached its default target."""
        address = self._state / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, self._console.open("ab") as console:
            listener.bind(os.fspath(address))
            listener.settimeout(BOOT_SECONDS)
            environment = {
                **os.environ,
                "TREE": os.fspath(self._tree), "STATE": os.fspath(self._state), "NAME": self.name,
                "NOTIFY_SOCKET": os.fspath(address),
            }  # fmt: skip
            # PDEATHSIG: a test run that dies does not leave a node behind.
            command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private"]
            self._nspawn = subprocess.Popen(
                [*command, "sh", "-euc", _BOOT],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
            try:
                self._leader = _leader_when_ready(listener)
            except TimeoutError:
                self.power_off()
                raise AssertionError(
                    f"the node did not boot in {BOOT_SECONDS} s:\n{self._console.read_text()}"
                ) from None
            finally:
                address.unlink()

    def power_off(self) -> None:
        """Shut the node down in order, as a power button does, and wait for its end."""
        assert self._nspawn is not None
        self._nspawn.send_signal(signal.SIGTERM)
        try:
            self._nspawn.wait(BOOT_SECONDS)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
            raise AssertionError(f"the node did not shut down:\n{self._console.read_text()}") from None
        finally:
            self._nspawn = None

    def command(self, *argv: str) -> list[str]:
        """Return the command line, for this machine, that runs `argv` on the node."""
        assert self._leader
        return ["nsenter", f"--target={self._leader}", "--all", "--root", "--wdns=/", "--", *argv]

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the node and return its result; a failure shows what the command printed."""
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        done = subprocess.run(
            self.command(*argv), env=environment, capture_output=True, text=True, errors="backslashreplace", timeout=120
        )
        assert not check or done.returncode == 0, f"{shlex.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def path(self, path: str) -> Path:
        """Return where this machine sees the node's `path`, mounts and all."""
        return Path(f"/proc/{self._leader}/root") / path.lstrip("/")

    def mounts(self) -> list[list[str]]:
        """Return the node's mount table, as the fields of /proc/PID/mounts. Source: fstab(5)."""
        return [line.split() for line in Path(f"/proc/{self._leader}/mounts").read_text().splitlines()]

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit as systemd knows them."""
        listing = self.run("systemctl", "show", "--property", ",".join(properties), unit).stdout
        return dict(line.split("=", 1) for line in listing.splitlines())

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Ask until `condition` holds; fail, with the node's journal, after `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}\n{self.journal()}")
            time.sleep(0.1)

    def wait_for_state(self, unit: str, state: str, seconds: float = 30) -> None:
        """Wait until the unit's ActiveState is `state`."""
        self.wait_for(lambda: self.show(unit, "ActiveState")["ActiveState"] == state, f"{unit} {state}", seconds)

    def journal(self, *options: str) -> str:
        """Return the journal of this boot, or what `options` of journalctl select of it."""
        return self.run("journalctl", "--boot", "--no-pager", *options).stdout

    def remove_cgroups(self) -> None:
        """Remove the cgroups that the node's boots have left on this machine."""
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for top in (fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"):
            for folder, _, _ in os.walk(Path(top, self.name), topdown=False):
                Path(folder).rmdir()


def _leader_when_ready(listener: socket.socket) -> int:
    """Wait for nspawn's READY=1 and return the process id, here, of the node's PID 1. Raises: TimeoutError."""
    leader, ready = 0, False
    while not (leader and ready):
        for line in listener.recv(4096).decode().splitlines():
            key, _, content = line.partition("=")
            if key == "X_NSPAWN_LEADER_PID":
                leader = int(content)
            ready = ready or line == "READY=1"
    return leader
