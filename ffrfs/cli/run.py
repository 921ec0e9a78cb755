"""`ffrfs run`."""

from __future__ import annotations

import logging
import os

import click

from ffrfs.cli.mount import check_fuse
from ffrfs.cli.mount_options import mount_options
from ffrfs.errors import ConfigError

__all__ = ["run"]

_COMMAND = f"{__name__}.command"


class _WithCommand(click.Command):
    """A command line with another one after `--`, which is left alone."""

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        end = words.index("--") if "--" in words else len(words)
        context.meta[_COMMAND] = words[end + 1 :]
        return super().parse_args(context, words[:end])

    def collect_usage_pieces(self, context: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(context), "--", "COMMAND..."]


def _pair(text: str) -> tuple[str, str]:
    archive, _, mountpoint = text.rpartition(":")
    if not archive or not mountpoint:
        raise ConfigError(f"--mount takes ARCHIVE:MOUNTPOINT, not {text!r}")
    return archive, mountpoint


@click.command("run", cls=_WithCommand)
@click.argument("archive", type=click.Path(), required=False)
@click.argument("mountpoint", type=click.Path(), required=False)
@click.option("--mount", "mounts", multiple=True, metavar="A:B", help="Mount archive A at B, too; may be repeated.")
@click.option("--private", is_flag=True, help="Only the command sees the mounts; they end with it in any case.")
@mount_options
@click.option("--log", type=click.Path(), help="Log file (default: warnings to standard error).")
@click.option("-d", "--debug", is_flag=True, help="Log more.")
@click.pass_context
def run(
    context: click.Context,
    archive: str | None,
    mountpoint: str | None,
    mounts: tuple[str, ...],
    private: bool,
    options: tuple[str, ...],
    log: str | None,
    debug: bool,
) -> int:
    """Mount ARCHIVE at MOUNTPOINT, run COMMAND, unmount: for batch jobs and containers.

    Ends with the exit status of COMMAND, or 128 + N if signal N ended it. COMMAND gets the signals that ffrfs gets;
    whatever ends either of them, the mounts go. Against the batch system's SIGKILL of everything at once only
    --private helps: the kernel then removes the mounts with the last process of the job. The options of a mount are
    those of 'ffrfs mount', and go for all of them.

    \b
    ffrfs run coco.ffr /mnt/coco -- python tools/train.py config.py
    ffrfs run --mount coco.ffr:/mnt/coco --mount ade.ffr:/mnt/ade -- ./job.sh
    """
    command: list[str] = context.meta[_COMMAND]
    pairs = [_pair(text) for text in mounts]
    if archive is not None and mountpoint is not None:
        pairs.insert(0, (archive, mountpoint))
    if not pairs or (archive is None) != (mountpoint is None):
        raise click.UsageError("say what to mount: ARCHIVE MOUNTPOINT, or --mount ARCHIVE:MOUNTPOINT")
    if not command:
        raise click.UsageError("say what to run, after the mounts and --: ffrfs run coco.ffr /mnt/coco -- COMMAND")
    check_fuse()
    from ffrfs.daemon.run import go_on_in_private_namespace, run_job
    from ffrfs.daemon.serve import prepare
    from ffrfs.mount.log import start_logging
    from ffrfs.mount.options import parse_options

    start_logging(log, debug)
    if log is None and not debug:
        logging.getLogger().setLevel(logging.WARNING)
    parsed = parse_options(options)
    if private:
        status = go_on_in_private_namespace()
        if status is not None:
            return status
    return run_job([prepare(a, os.path.abspath(b), parsed) for a, b in pairs], command)
