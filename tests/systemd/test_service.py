"""ffrfs@.service on a booted node: its whole life, and every way in which it can fail."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.systemd.node import Node
from tests.systemd.served import ARCHIVE, LARGE_FILE, PACKED_FILES, assert_serves, is_mounted

Service = Callable[..., str]

# Opens a file, says so, waits for a word, and prints the digest of the whole file.
SLOW_READER = """
import hashlib, sys
with open(sys.argv[1], "rb") as file:
    print("open", flush=True)
    sys.stdin.readline()
    print(hashlib.sha256(file.read()).hexdigest())
"""


def open_slowly(node: Node, path: str) -> subprocess.Popen[str]:
    """Start a reader on the node that has `path` open and reads it when it gets a line."""
    command = node.command("python3", "-c", SLOW_READER, path)
    reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    return reader


def watchdog_microseconds(node: Node, unit: str) -> int:
    """When the unit last answered its watchdog, by the monotonic clock."""
    return int(node.show(unit, "WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"])


def assert_failed(node: Node, unit: str, status: int, *reasons: str) -> None:
    """Assert that the unit failed with this exit status, and that its status line has each of `reasons`."""
    node.wait_for_state(unit, "failed")
    facts = node.show(unit, "ExecMainStatus", "StatusText")
    assert int(facts["ExecMainStatus"]) == status
    for reason in reasons:
        assert reason in facts["StatusText"]
        assert reason in node.run("systemctl", "status", unit, check=False).stdout


def test_systemd_finds_nothing_wrong_with_the_unit(node: Node) -> None:
    done = node.run("systemd-analyze", "verify", "ffrfs@coco.service")
    assert done.stdout + done.stderr == ""


def test_it_is_active_only_when_the_mount_answers(node: Node, service: Service) -> None:
    unit = service("ready")
    node.run("systemctl", "start", "--no-block", unit)
    states = []
    while "active" not in states:
        # In this order: what is active now must have been mounted before.
        states.append(node.show(unit, "ActiveState")["ActiveState"])
        mounted = is_mounted(node, "/mnt/ready")
    assert mounted
    assert "activating" in states
    assert_serves(node, "/mnt/ready")
    assert "/data/coco.ffr at /mnt/ready" in node.show(unit, "StatusText")["StatusText"]


def test_everybody_on_the_node_can_read_what_allow_other_shares(node: Node, service: Service) -> None:
    node.run("systemctl", "start", service("shared", more='options = ["allow_other"]'), service("private"))
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sha256sum")
    assert PACKED_FILES[LARGE_FILE] in node.run(*as_nobody, f"/mnt/shared/{LARGE_FILE}").stdout
    assert "Permission denied" in node.run(*as_nobody, f"/mnt/private/{LARGE_FILE}", check=False).stderr


@pytest.mark.parametrize("whom", ["main", "all"])
def test_a_killed_daemon_is_started_again_into_a_working_mount(node: Node, service: Service, whom: str) -> None:
    unit = service("killed")
    node.run("systemctl", "start", unit)
    node.run("systemctl", "kill", "--signal=KILL", f"--kill-who={whom}", unit)
    node.wait_for(
        lambda: node.show(unit, "NRestarts", "ActiveState") == {"NRestarts": "1", "ActiveState": "active"}, unit
    )
    assert_serves(node, "/mnt/killed")


def test_a_dead_mount_stays_visible_until_the_restart(node: Node, service: Service) -> None:
    unit = service("dead", drop_in="[Service]\nRestart=no\n")
    node.run("systemctl", "start", unit)
    node.run("systemctl", "kill", "--signal=KILL", unit)
    node.wait_for_state(unit, "failed")
    assert "Transport endpoint is not connected" in node.run("ls", "/mnt/dead", check=False).stderr
    node.run("systemctl", "start", unit)
    assert_serves(node, "/mnt/dead")


def test_a_daemon_that_hangs_is_replaced_by_the_watchdog(node: Node, service: Service) -> None:
    unit = service("hung", drop_in="[Service]\nWatchdogSec=2\n")
    node.run("systemctl", "start", unit)
    node.run("systemctl", "kill", "--signal=STOP", unit)
    node.wait_for(
        lambda: node.show(unit, "NRestarts", "ActiveState") == {"NRestarts": "1", "ActiveState": "active"}, unit
    )
    assert "Watchdog timeout" in node.journal("--unit", unit)
    assert_serves(node, "/mnt/hung")


def test_a_healthy_daemon_answers_the_watchdog(node: Node, service: Service) -> None:
    unit = service("healthy", drop_in="[Service]\nWatchdogSec=1\n")
    node.run("systemctl", "start", unit)
    begin = watchdog_microseconds(node, unit)
    node.wait_for(
        lambda: watchdog_microseconds(node, unit) > begin + 3_000_000, "the watchdog is fed for three seconds"
    )
    assert node.show(unit, "NRestarts", "ActiveState") == {"NRestarts": "0", "ActiveState": "active"}


def test_stopping_lets_a_reader_finish_its_file(node: Node, service: Service) -> None:
    unit = service("stopped")
    node.run("systemctl", "start", unit)
    with (
        open_slowly(node, f"/mnt/stopped/{LARGE_FILE}") as reader,
        subprocess.Popen(node.command("systemctl", "stop", unit)) as stop,
    ):
        node.wait_for(lambda: not is_mounted(node, "/mnt/stopped"), "the mount point is free")
        assert node.show(unit, "ActiveState")["ActiveState"] == "deactivating"
        digest, _ = reader.communicate("go on\n")
        assert digest.strip() == PACKED_FILES[LARGE_FILE]
        assert stop.wait(60) == 0
    assert node.show(unit, "ActiveState", "Result", "ExecMainStatus") == {
        "ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0",
    }  # fmt: skip


def test_stopping_does_not_wait_for_ever_for_a_reader(node: Node, service: Service) -> None:
    unit = service("held", drop_in="[Service]\nEnvironment=READER_SECONDS=1\n")
    node.run("systemctl", "start", unit)
    with open_slowly(node, f"/mnt/held/{LARGE_FILE}") as reader:
        node.run("systemctl", "stop", unit)
        assert node.show(unit, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
        assert not is_mounted(node, "/mnt/held")
        reader.kill()


def test_a_daemon_that_cannot_be_stopped_leaves_no_dead_mount(node: Node, service: Service) -> None:
    stuck = "[Service]\nEnvironment=READER_SECONDS=1\nTimeoutStopSec=2\nWatchdogSec=0\n"
    unit = service("stuck", drop_in=stuck)
    node.run("systemctl", "start", unit)
    node.run("systemctl", "kill", "--signal=STOP", unit)
    node.run("systemctl", "stop", unit)
    assert node.show(unit, "Result")["Result"] == "timeout"
    assert not is_mounted(node, "/mnt/stuck")


def test_reloading_reports_an_archive_that_was_replaced(node: Node, service: Service) -> None:
    shutil.copy(ARCHIVE, node.path("/data/replaced.ffr"))
    unit = service("replaced", archive="/data/replaced.ffr")
    node.run("systemctl", "start", unit)
    shutil.copy(ARCHIVE, node.path("/data/new.ffr"))
    node.path("/data/new.ffr").rename(node.path("/data/replaced.ffr"))
    node.run("systemctl", "reload", unit)
    # A priority of its own, 4, and not the text: journalctl filters by it.
    node.wait_for(lambda: "was replaced" in node.journal("--unit", unit, "--priority=4..4"), "a warning")
    lines = [json.loads(line) for line in node.journal("--unit", unit, "--output=json").splitlines()]
    served = [
        line for line in lines if line["MESSAGE"].endswith("workers") and line["SYSLOG_IDENTIFIER"] == "ffrfs@replaced"
    ]
    assert served[0]["PRIORITY"] == "6"
    assert not served[0]["MESSAGE"].startswith("<")
    assert_serves(node, "/mnt/replaced")


@pytest.mark.parametrize(
    ("archive", "more", "reason"),
    [
        ("/data/coco.ffr", "archve = 1", "/etc/ffrfs/wrong.toml: archve: unknown key"),
        ("/data/coco.ffr", "options = 1", "/etc/ffrfs/wrong.toml: options: must be a list"),
        ("/data/coco.ffr", 'options = ["alow_other"]', "/etc/ffrfs/wrong.toml: options: there is no mount option"),
        ("/data/cocoa.ffr", "", "/etc/ffrfs/wrong.toml: archive: there is no /data/cocoa.ffr"),
        ("coco.ffr", "", "/etc/ffrfs/wrong.toml: archive: must be an absolute path"),
    ],
)
def test_a_wrong_configuration_fails_at_once(
    node: Node, service: Service, archive: str, more: str, reason: str
) -> None:
    unit = service("wrong", archive=archive, more=more)
    assert node.run("systemctl", "start", unit, check=False).returncode == 1
    assert_failed(node, unit, 2, reason)
    assert node.show(unit, "NRestarts")["NRestarts"] == "0"


@pytest.mark.parametrize("damage", ["truncated", "nonsense"])
def test_a_broken_archive_fails_at_once(node: Node, service: Service, damage: str) -> None:
    whole = ARCHIVE.read_bytes()
    node.path("/data/broken.ffr").write_bytes(whole[: len(whole) // 2] if damage == "truncated" else b"nonsense" * 1000)
    unit = service("broken", archive="/data/broken.ffr")
    assert node.run("systemctl", "start", unit, check=False).returncode == 1
    assert_failed(node, unit, 4, "/data/broken.ffr: ")
    assert node.show(unit, "NRestarts")["NRestarts"] == "0"


def test_storage_that_comes_later_is_waited_for(node: Node, service: Service) -> None:
    unit = service("later", archive="/srv/storage/coco.ffr")
    assert node.run("systemctl", "start", unit, check=False).returncode == 1
    assert "mount its storage" in node.show(unit, "StatusText")["StatusText"]
    node.run("mkdir", "/srv/storage")
    shutil.copy(ARCHIVE, node.path("/srv/storage/coco.ffr"))
    node.wait_for_state(unit, "active")
    assert_serves(node, "/mnt/later")


def test_a_mount_point_that_vanished_is_named_and_waited_for(node: Node, service: Service) -> None:
    unit = service("vanished", mountpoint="/mnt/vanished")
    assert node.run("systemctl", "start", unit, check=False).returncode == 1
    assert "mount point /mnt/vanished does not exist" in node.show(unit, "StatusText")["StatusText"]
    node.run("mkdir", "/mnt/vanished")
    node.wait_for_state(unit, "active")
    assert_serves(node, "/mnt/vanished")


def test_a_service_that_keeps_failing_is_given_up(node: Node, service: Service) -> None:
    limits = "[Unit]\nStartLimitBurst=3\n[Service]\nRestartSec=100ms\n"
    unit = service("hopeless", mountpoint="/mnt/hopeless", drop_in=limits)
    node.run("systemctl", "start", unit, check=False)
    assert_failed(node, unit, 3, "mount point /mnt/hopeless does not exist")


def test_of_two_services_for_one_mount_point_the_first_goes_on(node: Node, service: Service) -> None:
    first, second = service("first"), service("second", mountpoint="/mnt/first")
    node.run("systemctl", "start", first)
    assert node.run("systemctl", "start", second, check=False).returncode == 1
    assert "/mnt/first is already mounted" in node.show(second, "StatusText")["StatusText"]
    node.run("systemctl", "stop", second)
    assert_serves(node, "/mnt/first")


def test_unmounting_by_hand_ends_the_service_without_a_failure(node: Node, service: Service) -> None:
    unit = service("unmounted")
    node.run("systemctl", "start", unit)
    node.run("umount", "/mnt/unmounted")
    node.wait_for_state(unit, "inactive")
    assert node.show(unit, "Result", "NRestarts") == {"Result": "success", "NRestarts": "0"}


def test_limits_and_hardening_hold_for_the_running_daemon(node: Node, service: Service) -> None:
    unit = service("limited", drop_in="[Service]\nLimitNOFILE=1234\n")
    node.run("systemctl", "start", unit)
    pid = node.show(unit, "MainPID")["MainPID"]
    assert "1234" in node.run("grep", "Max open files", f"/proc/{pid}/limits").stdout
    status = node.run("cat", f"/proc/{pid}/status").stdout
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    # A mount namespace of its own would hide the mount from the node.
    namespaces = node.run("readlink", f"/proc/{pid}/ns/mnt", "/proc/1/ns/mnt").stdout.split()
    assert namespaces[0] == namespaces[1]
