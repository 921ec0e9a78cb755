"""The command `ffrfs`: its commands, and nothing else. No logic of its own."""

from __future__ import annotations

import pkgutil
import sys
from typing import NoReturn

import click

from ffrfs.cli.exit_status import run_command
from ffrfs.version import __version__

__all__ = ["cli", "main"]

# Each is the function of its name in the module of its name, with _ for -.
_COMMANDS = (
    "cache",
    "cat",
    "completion",
    "doctor",
    "exporter",
    "index",
    "info",
    "install-mm",
    "install-systemd",
    "ls",
    "mount",
    "mounts",
    "pack",
    "run",
    "stats",
    "top",
    "umount",
    "unpack",
    "verify",
    "warmup",
)


class _Commands(click.Group):
    """Imports only the command that is asked for: a mount need not wait for what draws progress bars."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = pkgutil.resolve_name(f"{__name__}.{name}:{name}")
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ffrfs")
def cli() -> None:
    """Pack folders into FFRecord archives, mount them, and look into them.

    \b
    ffrfs pack coco/ coco.ffr
    ffrfs mount coco.ffr /mnt/coco
    ffrfs umount /mnt/coco
    """


def main() -> NoReturn:
    """Run the command line."""
    sys.exit(run_command(cli, "ffrfs"))
