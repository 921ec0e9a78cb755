"""`ffrfs exporter`: what it serves of mounts that live, hang and are dead, and what the dashboard asks for."""

import json
import re
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import command, environment, ffrfs, new_mark, send, stop

TREE = {b"a": b"contents of a", b"b": bytes(70_000)}
DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana.json"


@pytest.fixture
def exporter():
    """A function that asks a running exporter; returns the samples as (name, labels) -> value."""
    words = command("exporter", "--listen", "127.0.0.1:0")
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment(new_mark())) as process:
        address = process.stderr.readline().strip()

        def scrape():
            text = urllib.request.urlopen(address, timeout=60).read().decode()
            return samples(text)

        yield scrape
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def samples(text):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found, mounted):
    """The samples of one mount, without that label; versions and paths of archives left out."""
    place = ("mountpoint", str(mounted.path))
    return {
        (name, tuple(label for label in labels if label != place)): value
        for (name, labels), value in found.items()
        if place in labels and not name.endswith("_info")
    }


def state(found, mounted):
    return [dict(labels)["ffrfs_mount_state"] for (name, labels), value in of(found, mounted).items()
            if name == "ffrfs_mount_state" and value == 1]  # fmt: skip


def test_it_serves_what_the_mount_itself_shows(mount, exporter):
    mounted = mount(TREE)
    assert (mounted.path / "b").read_bytes() == TREE[b"b"]
    before = of(samples((mounted.path / ".ffrfs" / "metrics").read_text()), mounted)
    found = of(exporter(), mounted)
    assert {key for key in found if key[0] != "ffrfs_mount_state"} == set(before)
    assert all(value >= before[key] for key, value in found.items() if key in before)
    assert found["ffrfs_read_bytes_total", ()] == before["ffrfs_read_bytes_total", ()] == 70_000
    assert found["ffrfs_read_seconds_sum", ()] == before["ffrfs_read_seconds_sum", ()] > 0


@pytest.mark.semantics("exporter")
def test_mounts_that_hang_or_are_dead_hold_up_nobody(mount, exporter):
    living, hanging, dead = (mount(TREE, "prefetch=0") for _ in range(3))
    dead.status = -signal.SIGKILL
    dead.kill()
    dead.wait_for_end(leaves_mount=True)
    stopped = hanging.processes
    stop(stopped)
    try:
        for _ in range(3):
            found = exporter()
            assert [state(found, mounted) for mounted in (living, hanging, dead)] == [
                ["alive"], ["does not answer"], ["dead"]
            ]  # fmt: skip
            assert ("ffrfs_files", ()) in of(found, living)
            assert ("ffrfs_files", ()) not in of(found, hanging)
    finally:
        send(stopped, signal.SIGCONT)
    assert (hanging.path / "a").read_bytes() == TREE[b"a"]
    assert state(exporter(), hanging) == ["alive"]


def test_it_serves_what_the_dashboard_asks_for(mount, exporter):
    mount(TREE)
    asked = set(re.findall(r"\bffrfs_[a-z_]+", DASHBOARD.read_text()))
    served = {name for name, _ in exporter()} | {"ffrfs_mount_state"}
    assert len(asked) > 15
    assert asked - served == set()


def test_the_dashboard_shows_each_kind_of_trouble():
    from ffrfs.fs.counters import COUNTERS, Kind

    text = json.dumps(json.loads(DASHBOARD.read_text()))
    trouble = {f"ffrfs_{counter.name}_total" for counter in COUNTERS if counter.kind is Kind.TROUBLE}
    assert {name for name in trouble if name not in text} == set()


@pytest.mark.parametrize("address", ["9834", "localhost:", "localhost:x", "localhost:65536"])
def test_a_wrong_address_is_one_line(address):
    done = ffrfs("exporter", "--listen", address)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "--listen takes ADDRESS:PORT" in done.stderr


def test_an_address_that_is_taken_is_one_line(exporter):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = ffrfs("exporter", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "ddress already in use" in done.stderr
