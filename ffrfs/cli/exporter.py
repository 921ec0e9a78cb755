"""`ffrfs exporter`."""

from __future__ import annotations

import signal
import threading

import click

from ffrfs.daemon.notify import notify
from ffrfs.errors import ConfigError

__all__ = ["exporter"]

_LISTEN = "127.0.0.1:9834"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise ConfigError(f"--listen takes ADDRESS:PORT, not {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


@click.command()
@click.option("--listen", default=_LISTEN, show_default=True, metavar="ADDRESS:PORT", help="Where to be asked.")
def exporter(listen: str) -> None:
    """Serve what all mounts of this node have counted to Prometheus, over HTTP.

    It sees the mounts that its user may read. On other addresses than the default one, others can read the paths of
    mounts and archives. A mount that does not answer is shown as such, and holds up nobody.

    \b
    ffrfs exporter
    ffrfs exporter --listen 0.0.0.0:9834
    systemctl enable --now ffrfs-exporter
    """
    host, port = _address(listen)
    try:
        from prometheus_client import CollectorRegistry, start_http_server

        from ffrfs.mount.exporter import MountCollector
    except ImportError as error:
        raise ConfigError(
            "the exporter needs prometheus_client, which is missing: pip install 'ffrfs[exporter]'"
        ) from error
    registry = CollectorRegistry()
    registry.register(MountCollector())
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server, _ = start_http_server(port, host, registry)
    click.echo(f"http://{listen.rpartition(':')[0]}:{server.server_port}/metrics", err=True)
    notify("READY=1")
    ended.wait()
    server.shutdown()
