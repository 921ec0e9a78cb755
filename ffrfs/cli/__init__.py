"""The command `ffrfs`: its commands, and errors as one line with an exit code. No logic of its own."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from ffrfs.cli.inspecting import cat, index, info, ls, verify
from ffrfs.cli.mounting import mount, umount
from ffrfs.errors import FfrfsError
from ffrfs.version import __version__

__all__ = ["cli", "main"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ffrfs")
def cli() -> None:
    """Pack folders into FFRecord archives, mount them, and look into them.

    \b
    ffrfs pack coco/ coco.ffr
    ffrfs mount coco.ffr /mnt/coco
    ffrfs umount /mnt/coco
    """


for command in (cat, index, info, ls, mount, umount, verify):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line; every error that is the user's or the archive's is one line, without a traceback."""
    try:
        result = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted", _INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FfrfsError as error:
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = "" if error.filename is None else f"{_printable(error.filename)}: "
        _fail(f"{where}{error.strerror or error}", 1)
    sys.exit(result if isinstance(result, int) else 0)


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"ffrfs: {message}", err=True)
    sys.exit(status)


def _printable(name: str | bytes) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
