"""The service killed by SIGKILL at random moments under load, and started again by systemd: no byte is wrong.

FFRFS_SERVICE_KILLS says how often; `make soak-systemd` kills it 200 times.
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
LONGEST_LOOK_SECONDS = 10.0
RECOVERY_SECONDS = 30.0
# Of requests in the hands of the killed; of the dead mount; of the empty folder between two mounts.
EXPECTED_ERRORS = {"ECONNABORTED", "EINTR", "ENOTCONN", "ENOENT"}
FILES = {str(size): content(size) for size in (0, 1, 4097, 60_000, 300_000, 5_000_000)}


@pytest.mark.semantics("service-killed")
@pytest.mark.timeout(300 + 10 * KILLS)
def test_a_service_killed_under_load(node: Node, service: Callable[..., str]) -> None:
    write_archive(node.path("/data/often.ffr"), {name.encode(): contents for name, contents in FILES.items()})
    often = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=200ms\n"
    unit = service("often", archive="/data/often.ffr", drop_in=often)
    node.run("systemctl", "start", unit)
    numbers, slowest = random.Random(), 0.0
    # The empty folder between two mounts can be listed: that is no way to tell whether a mount is right.
    with reading(node.path("/mnt/often"), FILES, READERS, ("whole", "parts")) as outcome:
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
    assert set(outcome.errors) <= EXPECTED_ERRORS
    assert outcome.longest_seconds < LONGEST_LOOK_SECONDS
    for name, contents in FILES.items():
        assert (node.path("/mnt/often") / name).read_bytes() == contents
