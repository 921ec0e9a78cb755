"""Telling systemd how the daemon is, by the sd_notify protocol: one datagram to the socket in NOTIFY_SOCKET."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence

__all__ = ["notify", "watchdog_seconds"]

_NUMBER = re.compile("[0-9]{1,18}")  # else it is not systemd's
_SHORTEST_SECONDS = 0.1


def notify(*assignments: str, descriptors: Sequence[int] = ()) -> None:
    """Send assignments such as READY=1 or STATUS=…, and with FDSTORE=1 descriptors; does nothing where nobody listens.
    Source: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            message = "\n".join(assignments).encode("utf-8", "replace")
            if descriptors:
                socket.send_fds(channel, [message], list(descriptors))
            else:
                channel.sendall(message)
    except OSError:
        pass  # who started us has gone; that is no reason to stop serving


def watchdog_seconds() -> float | None:
    """How often systemd wants WATCHDOG=1 at least, or None. Source: sd_watchdog_enabled(3)."""
    pid, microseconds = os.environ.get("WATCHDOG_PID", ""), os.environ.get("WATCHDOG_USEC", "")
    if not _NUMBER.fullmatch(microseconds) or int(microseconds) == 0 or (pid and pid != str(os.getpid())):
        return None
    return max(int(microseconds) / 1e6, _SHORTEST_SECONDS)
