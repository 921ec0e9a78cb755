"""ffrfs-exporter.service on a booted node, scraped by Debian's own Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.systemd.node import Node
from tests.systemd.tree import CHECKOUT

UNIT, PROMETHEUS = "ffrfs-exporter.service", "test-prometheus.service"
CONFIG = """
global:
  scrape_interval: 5s
scrape_configs:
  - job_name: ffrfs
    static_configs:
      - targets: ["127.0.0.1:9834"]
"""
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"


@pytest.fixture
def ask(node: Node) -> Iterator[Callable[[str], Any]]:
    """A function that asks a running Prometheus; the answer's data, or None while there is no answer."""
    node.path("/tmp/prometheus.yml").write_text(CONFIG)
    storage = "--storage.tsdb.path=/tmp/prometheus"
    program = ("prometheus", "--config.file=/tmp/prometheus.yml", storage, "--web.listen-address=127.0.0.1:9090")
    node.run("systemctl", "start", UNIT)
    node.run("systemd-run", f"--unit={PROMETHEUS}", "--property=WorkingDirectory=/", *program)

    def data(path: str) -> Any:
        done = node.run("python3", "-c", ASK, f"http://127.0.0.1:9090/api/v1/{path}", check=False)
        return json.loads(done.stdout)["data"] if done.returncode == 0 else None

    yield data
    node.run("systemctl", "stop", PROMETHEUS, UNIT)


def test_systemd_finds_nothing_wrong_with_the_unit(node: Node) -> None:
    done = node.run("systemd-analyze", "verify", UNIT)
    assert done.stdout + done.stderr == ""


def test_prometheus_finds_every_metric_of_the_dashboard(
    node: Node, service: Callable[..., str], ask: Callable[[str], Any]
) -> None:
    node.run("systemctl", "start", service("seen", more='options = ["allow_other"]'))
    asked = set(re.findall(r"\bffrfs_[a-z_]+", (CHECKOUT / "docs" / "grafana.json").read_text()))

    def missing() -> set[str]:
        return asked - set(ask("label/__name__/values") or ())

    node.wait_for(lambda: not missing(), "Prometheus has all metrics", 60)
    node.wait_for(lambda: bool(ask("query?query=ffrfs_files")["result"]), "the mount was scraped", 60)
    (files,) = ask("query?query=ffrfs_files")["result"]
    assert files["metric"]["mountpoint"] == "/mnt/seen"
    (state,) = ask("query?query=ffrfs_mount_state==1")["result"]
    assert state["metric"]["ffrfs_mount_state"] == "alive"


def test_the_exporter_has_no_rights(node: Node, ask: Callable[[str], Any]) -> None:
    pid = node.show(UNIT, "MainPID")["MainPID"]
    status = node.run("cat", f"/proc/{pid}/status").stdout
    assert "CapEff:\t0000000000000000" in status and "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status and not re.search(r"^Uid:\t0\t", status, re.MULTILINE)
