"""Running a click command so that whatever is the user's or the archive's fault ends as one line and an exit status."""

from __future__ import annotations

import contextlib
import io
import os
import sys

import click

from ffrfs.cli.streams import open_missing_streams
from ffrfs.daemon.notify import notify
from ffrfs.errors import FfrfsError, printable

__all__ = ["run_command"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run_command(command: click.Command, name: str) -> int:
    """Run a command line; returns its exit status.

    An error is one line on standard error, without a traceback, and the status line of the service if systemd runs us.
    Args: name, of the program, which begins that line.
    """
    open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of archives are UTF-8, and a terminal may not be able to show them: no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        result = command.main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()  # now, while there is still somebody to say that it failed
    except click.exceptions.Abort:
        return _failed(name, "interrupted", _INTERRUPTED)
    except click.ClickException as error:
        if not isinstance(error, click.MissingParameter):  # whose message is ours alone, and may have several lines
            error.message = printable(error.message)  # type: ignore[misc]  # its `show` prints nothing else
        with contextlib.suppress(OSError):
            error.show()
        return error.exit_code
    except FfrfsError as error:
        return _failed(name, str(error), error.exit_code)
    except BrokenPipeError:
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return _failed(name, f"{where}{error.strerror or error}", 1)
    return result if isinstance(result, int) else 0


def _failed(name: str, message: str, status: int) -> int:
    message = printable(message)
    with contextlib.suppress(OSError):  # the status says it, too
        click.echo(f"{name}: {message}", err=True)
    notify(f"STATUS={message}")
    return status


def _drop_output() -> None:
    """Have what is left unwritten go nowhere: it failed, and Python would complain once more at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
