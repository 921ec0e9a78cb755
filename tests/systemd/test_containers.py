"""The two usual ways of a container to a mount, as far as they can be tried without a container engine.

A container is here what the kernel makes of one: namespaces of its own, and the capabilities that an engine leaves.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.systemd.node import FFRFS, Node
from tests.systemd.served import LARGE_FILE, PACKED_FILES

# What docker and podman leave to root in a container that gets nothing extra.
DEFAULT_CAPABILITIES = (
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+sys_chroot,+setfcap"
)


@pytest.fixture
def container(node: Node) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run commands in a container that has been there since before the test: it has the node's folders by rslave."""
    command = node.command("unshare", "--mount", "--propagation", "slave", "sh", "-c", "echo $$; exec sleep infinity")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sleeper:
        assert sleeper.stdout is not None
        pid = sleeper.stdout.readline().strip()

        def run(*argv: str) -> subprocess.CompletedProcess[str]:
            return node.run("nsenter", f"--target={pid}", "--mount", *argv, check=False)

        yield run
        node.run("kill", pid)


def test_the_nodes_mount_reaches_a_container_that_was_there_before_it(
    node: Node, service: Callable[..., str], container: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    unit = service("lent", more='options = ["allow_other"]')
    assert container("ls", "/mnt/lent").stdout == ""
    node.run("systemctl", "start", unit)
    assert PACKED_FILES[LARGE_FILE] in container("sha256sum", f"/mnt/lent/{LARGE_FILE}").stdout

    node.run("systemctl", "kill", "--signal=KILL", unit)
    node.wait_for(
        lambda: node.show(unit, "NRestarts", "ActiveState") == {"NRestarts": "1", "ActiveState": "active"}, unit
    )
    assert PACKED_FILES[LARGE_FILE] in container("sha256sum", f"/mnt/lent/{LARGE_FILE}").stdout

    node.run("systemctl", "stop", unit)
    assert container("ls", "/mnt/lent").stdout == ""


@pytest.mark.parametrize("confinement", ["sys_admin", "userns"])
def test_a_container_mounts_for_itself(node: Node, confinement: str) -> None:
    node.run("mkdir", "--parents", "/mnt/own")
    if confinement == "sys_admin":
        confined = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "setpriv", "--no-new-privs"]
        confined.append(f"--bounding-set={DEFAULT_CAPABILITIES},+sys_admin")
    else:
        confined = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]
    job = (FFRFS, "run", "/data/coco.ffr", "/mnt/own", "--", "sha256sum", f"/mnt/own/{LARGE_FILE}")
    done = node.run(*confined, *job)
    assert PACKED_FILES[LARGE_FILE] in done.stdout
    assert node.run("ls", "/mnt/own").stdout == ""


def test_a_container_without_the_capability_is_told_so(node: Node) -> None:
    node.run("mkdir", "--parents", "/mnt/own")
    confined = ("unshare", "--mount", "setpriv", "--no-new-privs", f"--bounding-set={DEFAULT_CAPABILITIES}")
    done = node.run(*confined, FFRFS, "run", "/data/coco.ffr", "/mnt/own", "--", "true", check=False)
    assert done.returncode == 3
    assert "/mnt/own could not be mounted" in done.stderr
    assert "Traceback" not in done.stderr
    # Reading in process needs neither /dev/fuse nor rights.
    assert node.run(*confined, FFRFS, "cat", "/data/coco.ffr", "name with spaces/a b.txt").stdout != ""
