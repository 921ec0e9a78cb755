"""The command `ffrfs`: its commands, and nothing else. No logic of its own."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from ffrfs.cli.completion import completion
from ffrfs.cli.doctor import doctor
from ffrfs.cli.inspecting import cat, index, info, ls, verify
from ffrfs.cli.installing import install_systemd
from ffrfs.cli.job import job
from ffrfs.cli.mounting import mount, umount
from ffrfs.cli.packing import pack, unpack
from ffrfs.cli.running import run
from ffrfs.cli.viewing import mounts, stats, top
from ffrfs.version import __version__

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ffrfs")
def cli() -> None:
    """Pack folders into FFRecord archives, mount them, and look into them.

    \b
    ffrfs pack coco/ coco.ffr
    ffrfs mount coco.ffr /mnt/coco
    ffrfs umount /mnt/coco
    """


for command in (
    cat,
    completion,
    doctor,
    index,
    info,
    install_systemd,
    job,
    ls,
    mount,
    mounts,
    pack,
    stats,
    top,
    umount,
    unpack,
    verify,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line."""
    sys.exit(run(cli, "ffrfs"))
