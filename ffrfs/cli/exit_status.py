"""Running a click command so that whatever is the user's or the archive's fault ends as one line and an exit status."""

from __future__ import annotations

import os
import sys

import click

from ffrfs.daemon.notify import notify
from ffrfs.errors import FfrfsError, printable

__all__ = ["run_command"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run_command(command: click.Command, name: str) -> int:
    """Run a command line; returns its exit status.

    An error is one line on standard error, without a traceback, and the status line of the service if systemd runs us.
    Args: name, of the program, which begins that line.
    """
    try:
        result = command.main(prog_name=name, standalone_mode=False)
    except click.exceptions.Abort:
        return _failed(name, "interrupted", _INTERRUPTED)
    except click.ClickException as error:
        if not isinstance(error, click.MissingParameter):  # whose message is ours alone, and may have several lines
            error.message = printable(error.message)  # type: ignore[misc]  # its `show` prints nothing else
        error.show()
        return error.exit_code
    except FfrfsError as error:
        return _failed(name, str(error), error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return _failed(name, f"{where}{error.strerror or error}", 1)
    return result if isinstance(result, int) else 0


def _failed(name: str, message: str, status: int) -> int:
    message = printable(message)
    click.echo(f"{name}: {message}", err=True)
    notify(f"STATUS={message}")
    return status
