"""`ffrfs run`."""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import TYPE_CHECKING

import click

from ffrfs.cli.mount import check_fuse
from ffrfs.cli.mount_options import mount_options
from ffrfs.errors import ConfigError

if TYPE_CHECKING:
    from ffrfs.daemon.shared import SharedMount
    from ffrfs.mount.options import MountOptions

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


def _shared(pairs: list[tuple[str, str]], options: MountOptions, own_log: bool, debug: bool) -> list[SharedMount]:
    from ffrfs.daemon.shared import SharedMount

    options = dataclasses.replace(options, shared=True)
    return [SharedMount(archive, os.path.abspath(place), options, own_log, debug) for archive, place in pairs]


@click.command("run", cls=_WithCommand)
@click.argument("archive", type=click.Path(), required=False)
@click.argument("mountpoint", type=click.Path(), required=False)
@click.option("--mount", "mounts", multiple=True, metavar="A:B", help="Mount archive A at B, too; may be repeated.")
@click.option("--private", is_flag=True, help="Only the command sees the mounts; they end with it in any case.")
@click.option("--shared", is_flag=True, help="One mount for all jobs of this node: the last one unmounts.")
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
    shared: bool,
    options: tuple[str, ...],
    log: str | None,
    debug: bool,
) -> int:
    """Mount ARCHIVE at MOUNTPOINT, run COMMAND, unmount: for batch jobs and containers.

    Ends with the exit status of COMMAND, or 128 + N if signal N ended it. COMMAND gets the signals that ffrfs gets;
    whatever ends either of them, the mounts go. Against the batch system's SIGKILL of everything at once only
    --private helps: the kernel then removes the mounts with the last process of the job. The options of a mount are
    those of 'ffrfs mount', and go for all of them.

    With --shared, jobs of one user that mount the same archive at the same place share one mount and its memory, such
    as the tasks that srun starts on a node: the first mounts, the others join, the last one unmounts, whatever ends
    them. The options are those of the first, whose mount logs where mounts in the background do.

    \b
    ffrfs run coco.ffr /mnt/coco -- python tools/train.py config.py
    srun --ntasks-per-node=8 ffrfs run --shared coco.ffr /tmp/coco -- python tools/train.py config.py
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
    if shared and private:
        raise click.UsageError("--shared is for several jobs, --private for one: give one of them")
    check_fuse()
    from ffrfs.daemon.run import go_on_in_private_namespace, run_job, run_shared_job
    from ffrfs.daemon.serve import prepare
    from ffrfs.mount.log import start_logging
    from ffrfs.mount.options import parse_options

    start_logging(log, debug)
    if log is None and not debug:
        logging.getLogger().setLevel(logging.WARNING)
    parsed = parse_options(options)
    if shared:
        return run_shared_job(_shared(pairs, parsed, log is not None, debug), command)
    if private:
        status = go_on_in_private_namespace()
        if status is not None:
            return status
    return run_job([prepare(a, os.path.abspath(b), parsed) for a, b in pairs], command)
