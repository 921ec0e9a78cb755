"""The service killed by SIGKILL at random moments under load and started again by systemd, and reloaded: no byte is
wrong, and where the kernel sends requests again (Linux 6.9) no system call fails.

FFRFS_SERVICE_KILLS says how often; `make soak-systemd` kills and reloads it 200 times.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from tests.support.archives import write_archive
from tests.support.readers import reading
from tests.support.trees import content
from tests.systemd.node import Node

KILLS = int(os.environ.get("FFRFS_SERVICE_KILLS", "10"))
READERS = 8
WAYS = ("whole", "parts", "list", "map")
LONGEST_LOOK_SECONDS = 10.0
RECOVERY_SECONDS = 30.0
# Before Linux 6.9. Of requests in the hands of the killed; of the dead mount; of the empty folder between two mounts.
EXPECTED_ERRORS = {"ECONNABORTED", "EINTR", "ENOTCONN", "ENOENT"}
FILES = {str(size): content(size) for size in (0, 1, 4097, 60_000, 300_000, 5_000_000)}


def can_resend(node: Node, unit: str) -> bool:
    """Whether this kernel sends requests again, as the log says."""
    return "sends requests again" in node.journal("--unit", unit)


@pytest.mark.semantics("service-killed")
@pytest.mark.timeout(300 + 10 * KILLS)
def test_a_service_killed_under_load(node: Node, service: Callable[..., str]) -> None:
    write_archive(node.path("/data/often.ffr"), {name.encode(): contents for name, contents in FILES.items()})
    often = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=200ms\n"
    unit = service("often", archive="/data/often.ffr", drop_in=often)
    node.run("systemctl", "start", unit)
    numbers, slowest = random.Random(), 0.0
    resends = can_resend(node, unit)
    # The empty folder between two mounts can be listed: that is no way to tell whether a mount is right.
    with reading(node.path("/mnt/often"), FILES, READERS, WAYS if resends else ("whole", "parts")) as outcome:
        for _ in range(KILLS):
            time.sleep(numbers.random())
            whom = numbers.choice(["main", "all"])
            # Fails where systemd has just not started it anew yet.
            node.run("systemctl", "kill", "--signal=KILL", f"--kill-who={whom}", unit, check=False)
            if numbers.random() < 0.7:  # otherwise the next kill may come while it starts
                begin = time.monotonic()
                node.wait_for_state(unit, "active", RECOVERY_SECONDS)
                slowest = max(slowest, time.monotonic() - begin)
        time.sleep(2)  # until systemd has noticed the last kill
        node.wait_for_state(unit, "active", RECOVERY_SECONDS)
    restarts = int(node.show(unit, "NRestarts")["NRestarts"])
    print(f"\n{KILLS} kills, {restarts} restarts, slowest {slowest:.1f} s: {outcome}")
    assert restarts > KILLS / 2
    assert outcome.wrong == []
    assert outcome.right > KILLS
    assert set(outcome.errors) <= (set() if resends else EXPECTED_ERRORS)
    assert outcome.longest_seconds < LONGEST_LOOK_SECONDS
    for name, contents in FILES.items():
        assert (node.path("/mnt/often") / name).read_bytes() == contents


@pytest.mark.semantics("reloaded")
@pytest.mark.timeout(300 + 10 * KILLS)
def test_a_service_reloaded_under_load(node: Node, service: Callable[..., str]) -> None:
    write_archive(node.path("/data/reloaded.ffr"), {name.encode(): contents for name, contents in FILES.items()})
    unit = service("reloaded", archive="/data/reloaded.ffr", more='options = ["workers=1"]')
    node.run("systemctl", "start", unit)
    pid, resends = node.show(unit, "MainPID")["MainPID"], can_resend(node, unit)

    def taken_over() -> int:
        return node.journal("--unit", unit).count("taken over: ")

    with reading(node.path("/mnt/reloaded"), FILES, READERS, WAYS if resends else ("whole", "parts")) as outcome:
        for number in range(1, KILLS + 1):
            workers = 1 + number % 3
            node.path("/etc/ffrfs/reloaded.toml").write_text(
                f'archive = "/data/reloaded.ffr"\nmountpoint = "/mnt/reloaded"\noptions = ["workers={workers}"]\n'
            )
            node.run("systemctl", "reload", unit)
            node.wait_for(lambda number=number: taken_over() >= number, "the reload is done")  # type: ignore[misc]
            node.wait_for_state(unit, "active")
    print(f"\n{KILLS} reloads: {outcome}")
    assert outcome.wrong == []
    assert set(outcome.errors) <= (set() if resends else {"ECONNABORTED", "EINTR"})
    assert outcome.right > KILLS
    assert outcome.longest_seconds < LONGEST_LOOK_SECONDS
    assert node.show(unit, "MainPID", "NRestarts") == {"MainPID": pid, "NRestarts": "0"}
    assert f"{1 + KILLS % 3} workers" in node.show(unit, "StatusText")["StatusText"]


def test_a_reload_that_cannot_be_leaves_the_service_as_it_is(node: Node, service: Callable[..., str]) -> None:
    unit = service("refused")
    node.run("systemctl", "start", unit)
    pid = node.show(unit, "MainPID")["MainPID"]
    node.path("/etc/ffrfs/refused.toml").write_text("nonsense")
    node.run("systemctl", "reload", unit)
    node.wait_for(lambda: "this one goes on" in node.journal("--unit", unit, "--priority=3..3"), "it says why")
    node.wait_for_state(unit, "active")
    assert node.show(unit, "MainPID", "NRestarts") == {"MainPID": pid, "NRestarts": "0"}
    assert os.listdir(node.path("/mnt/refused"))
