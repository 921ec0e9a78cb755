"""The options of a mount on command lines: `-o` lists as mount(8) takes them, and a long flag for each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from ffrfs.mount.options import MountOptions

__all__ = ["FLAGS", "mount_options", "word"]

_DEFAULT = MountOptions()

# Long flags and their help; the word after -o is the same with underscores. A metavar means that it takes a value.
FLAGS = (
    ("--allow-other", None, "Let other users read it; file modes decide."),
    ("--nonempty", None, "Mount over a folder that has files."),
    ("--subdir", "PATH", "Show only this folder of the archive, as the root of the mount."),
    ("--union", None, "Lay several archives over each other; the later wins."),
    ("--uid", "UID", "Owner of the files (default: who mounts)."),
    ("--gid", "GID", "Group of the files (default: that of who mounts)."),
    ("--umask", "OCTAL", "Permissions to take away from 0555 and 0444."),
    ("--fsname", "NAME", "The source that mount(8) shows (default: ARCHIVE)."),
    ("--workers", "N", "Processes that answer requests (default: from the cores)."),
    (
        "--prefetch",
        "SIZE",
        "What may be in the page cache ahead of the readers "
        f"(default {_DEFAULT.prefetch_bytes >> 20}M; 0: no reading ahead).",
    ),
    ("--idle-timeout", "TIME", "Unmount what nobody has used for so long, such as 10min or 2h (default 0: never)."),
    ("--read-ahead-kb", "N", f"What the kernel asks for at once (default {_DEFAULT.read_ahead_kib}; root only)."),
    ("--endpoint", "URL", "Of the S3 server (default: AWS_ENDPOINT_URL, ~/.aws/config, AWS)."),
    ("--region", "NAME", "Of the bucket (default: AWS_REGION, ~/.aws/config, us-east-1)."),
    ("--profile", "NAME", "Of ~/.aws, with the credentials (default: AWS_PROFILE)."),
    ("--cache", "FOLDER", "Keep on this node what was read (default: FFRFS_CACHE, else none)."),
    (
        "--cache-size",
        "SIZE",
        "What the cache may hold (default: FFRFS_CACHE_SIZE, else all but a twentieth of its disk).",
    ),
)


def mount_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a mount; it gets them all as one argument `options`, words as after `-o`."""

    @functools.wraps(command)
    def with_words(*, options: tuple[str, ...], **arguments: Any) -> Any:
        flags = {flag: arguments.pop(word(flag)) for flag, _, _ in FLAGS}
        words = [
            word(flag) if value is True else f"{word(flag)}={value}".replace(",", "\\,")
            for flag, value in flags.items()
            if value not in (None, False)
        ]
        return command(options=(*options, *words), **arguments)

    decorated: Callable[..., Any] = with_words
    for flag, metavar, text in reversed(FLAGS):
        decorated = click.option(flag, metavar=metavar, is_flag=metavar is None, help=text)(decorated)
    return click.option(
        "-o",
        "options",
        multiple=True,
        metavar="OPTION,…",
        help="The options below as mount(8) takes them: allow_other,uid=1000; also ro, noexec, nosuid, nodev, noatime"
        " and their opposites.",
    )(decorated)


def word(flag: str) -> str:
    """What follows `-o` for a long flag."""
    return flag.strip("-").replace("-", "_")
