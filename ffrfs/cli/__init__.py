"""The command `ffrfs`: its commands, and nothing else. No logic of its own."""

from __future__ import annotations

import pkgutil
import sys
from typing import NoReturn

import click

from ffrfs.cli.running import run
from ffrfs.version import __version__

__all__ = ["cli", "main"]

# Command -> where it is in this package.
_COMMANDS = {
    "cat": "inspecting:cat",
    "completion": "completion:completion",
    "doctor": "doctor:doctor",
    "index": "inspecting:index",
    "info": "inspecting:info",
    "install-systemd": "installing:install_systemd",
    "ls": "inspecting:ls",
    "mount": "mounting:mount",
    "mounts": "viewing:mounts",
    "pack": "packing:pack",
    "run": "job:job",
    "stats": "viewing:stats",
    "top": "viewing:top",
    "umount": "mounting:umount",
    "unpack": "packing:unpack",
    "verify": "inspecting:verify",
}


class _Commands(click.Group):
    """Imports only the command that is asked for: a mount need not wait for what draws progress bars."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = pkgutil.resolve_name(f"{__name__}.{_COMMANDS[cmd_name]}")
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
    sys.exit(run(cli, "ffrfs"))
