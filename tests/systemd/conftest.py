"""One node for all tests of a session, with ffrfs installed on it from this checkout as docs/operations.md says.

`make test-systemd` sets FFRFS_REQUIRE_SYSTEMD=1: without it these tests are skipped, with it a machine that cannot
boot a node fails them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.systemd.node import FFRFS, Node
from tests.systemd.served import ARCHIVE
from tests.systemd.tree import cached_tree, copy_checkout


def _why_not_here() -> str | None:
    if os.geteuid() != 0:
        return "booting a node needs root"
    for device, module in (("/dev/fuse", "fuse"), ("/dev/autofs", "autofs4")):
        if not os.path.exists(device):
            return f"booting a node needs {device}: modprobe {module}"
    missing = [tool for tool in ("debootstrap", "systemd-nspawn", "nsenter", "setpriv") if shutil.which(tool) is None]
    return f"booting a node needs {', '.join(missing)}" if missing else None


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The booted node; the reference archive is /data/coco.ffr on it."""
    if os.environ.get("FFRFS_REQUIRE_SYSTEMD") != "1":
        pytest.skip("boots a systemd; 'make test-systemd' runs it")
    if reason := _why_not_here():
        pytest.fail(reason)
    node = Node(cached_tree(), tmp_path_factory.mktemp("node"))
    node.boot()
    try:
        copy_checkout(node.path("/usr/src/ffrfs"))
        node.run("/opt/ffrfs/bin/pip", "install", "--no-index", "--no-deps", "--no-build-isolation", "/usr/src/ffrfs")
        node.run(FFRFS, "install-systemd")
        node.run("systemctl", "daemon-reload")
        node.run("mkdir", "/data")
        shutil.copy(ARCHIVE, node.path("/data/coco.ffr"))
        yield node
    finally:
        node.power_off()
        node.remove_cgroups()


@pytest.fixture
def service(node: Node) -> Iterator[Callable[..., str]]:
    """Return a function that configures ffrfs@NAME and returns the unit's name; each ends with its test.

    Its arguments: name; archive, a path on the node; mountpoint, made if it is None; more, further lines of the
    configuration file; drop_in, lines of a unit drop-in.
    """
    units: list[str] = []

    def configure(
        name: str, archive: str = "/data/coco.ffr", mountpoint: str | None = None, more: str = "", drop_in: str = ""
    ) -> str:
        unit = f"ffrfs@{name}.service"
        units.append(unit)
        if mountpoint is None:
            mountpoint = f"/mnt/{name}"
            node.run("mkdir", "--parents", mountpoint)
        config = f'archive = "{archive}"\nmountpoint = "{mountpoint}"\n{more}\n'
        node.path(f"/etc/ffrfs/{name}.toml").write_text(config)
        folder = node.path(f"/run/systemd/system/{unit}.d")
        folder.mkdir(parents=True)
        (folder / "test.conf").write_text(drop_in)
        node.run("systemctl", "daemon-reload")
        return unit

    yield configure
    for unit in units:
        node.run("systemctl", "stop", unit)
        node.run("systemctl", "reset-failed", unit, check=False)
        shutil.rmtree(node.path(f"/run/systemd/system/{unit}.d"))
    node.run("systemctl", "daemon-reload")
