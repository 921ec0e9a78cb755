"""What systemd says of its watchdog, and what it cannot have said."""

import os

import pytest

from ffrfs.daemon.notify import watchdog_seconds


@pytest.mark.parametrize(
    ("microseconds", "seconds"),
    [
        ("10000000", 10.0),
        ("1", 0.1),
        ("", None),
        ("x", None),
        ("0", None),
        ("-5", None),
        ("1e6", None),
        ("\u0665", None),
        ("9" * 5000, None),
    ],
)
def test_the_time_is_a_number_of_microseconds(monkeypatch, microseconds, seconds):
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    assert watchdog_seconds() == seconds


@pytest.mark.parametrize(("pid", "seconds"), [("own", 5.0), ("", 5.0), ("1", None), ("x", None)])
def test_another_process_is_meant(monkeypatch, pid, seconds):
    monkeypatch.setenv("WATCHDOG_USEC", "5000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert watchdog_seconds() == seconds
