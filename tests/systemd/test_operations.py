"""docs/operations.md, followed to the letter by somebody who has never seen ffrfs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.systemd.node import FFRFS, Node
from tests.systemd.served import assert_serves, is_mounted
from tests.systemd.tree import CHECKOUT


def command_blocks(title: str) -> list[str]:
    """The indented blocks of one section of docs/operations.md."""
    page = (CHECKOUT / "docs" / "operations.md").read_text()
    section = page.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return [re.sub(r"(?m)^    ", "", block) for block in re.findall(r"(?m)(?:^    .*\n)+", section)]


@pytest.fixture
def newcomer(node: Node) -> Iterator[Callable[[str], str]]:
    """A shell on the node for commands as the page shows them; its user is root, so sudo is not needed."""

    def run(commands: str) -> str:
        return node.run("sh", "-euc", 'sudo() { "$@"; }\n' + commands).stdout

    yield run
    node.run(FFRFS, "install-systemd")
    node.run("systemctl", "daemon-reload")


def test_a_newcomer_gets_a_service_and_gets_rid_of_it(node: Node, newcomer: Callable[[str], str]) -> None:
    install, configure, look = command_blocks("From nothing to a service")
    (remove,) = command_blocks("Remove")
    # The node already has the packages and the environment that the first block makes.
    newcomer(next(line for line in install.splitlines() if line.startswith("sudo ln ")))
    newcomer(configure)
    assert_serves(node, "/mnt/coco")
    assert "/data/coco.ffr at /mnt/coco" in newcomer(look)
    facts = node.show("ffrfs@coco", "RequiresMountsFor", "UnitFileState")
    assert {"/data/coco.ffr", "/mnt"} <= set(facts["RequiresMountsFor"].split())
    assert facts["UnitFileState"] == "enabled"

    newcomer(remove.replace(" /opt/ffrfs ", " "))  # the environment is needed by the other tests
    assert not is_mounted(node, "/mnt/coco")
    assert node.run("find", "/etc", "/sbin/", "/usr/local/bin", "-name", "*ffrfs*").stdout == ""
