"""The options of a mount, from `-o` lists and long flags. No I/O but a notice in the log."""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ffrfs.cache.options import parse_size
from ffrfs.errors import ConfigError

__all__ = ["MountOptions", "default_workers", "parse_options", "parse_size"]

logger = logging.getLogger(__name__)

_KERNEL_OPTIONS = ("nosuid", "nodev", "noexec", "noatime", "suid", "dev", "exec", "atime", "sync", "async", "dirsync")
_SEPARATOR = re.compile(r"(?<!\\),")
_TIME = re.compile(r"([0-9]{1,8})(s|min|h|d|)")


def default_workers() -> int:
    """How many worker processes serve a mount: all cores of a small machine, a quarter of a large one's, at most 16."""
    cores = len(os.sched_getaffinity(0))
    return min(max(cores // 4, min(cores, 2)), 16)


@dataclass(frozen=True, slots=True)
class MountOptions:
    """Options of one mount.

    allow_other, whether other users may read it; uid, gid, umask, how files look; nonempty, mount over a folder with
    files; fsname, the source shown by mount(8), by default the archive; workers, processes that answer requests;
    prefetch_bytes, what may be read ahead of the readers, 0 for nothing; read_ahead_kib, what the kernel asks for at
    once, set only where the daemon has the right; endpoint, region, profile, how to reach object storage; cache, a
    folder on this node, and cache_bytes, what it may hold, by default the environment's; subdir, the directory of the
    archive that is shown, by default its root; union, whether several archives are laid over each other, the later
    above the earlier, instead of each being in a folder of its name; idle_timeout_s, after which a mount that nobody
    uses is unmounted, 0 for never; shared, whether it ends with the last of the jobs that share it, for which there is
    no word; kernel, flags passed on, such as noexec.
    """

    allow_other: bool = False
    uid: int | None = None
    gid: int | None = None
    umask: int = 0
    nonempty: bool = False
    fsname: str | None = None
    workers: int = field(default_factory=default_workers)
    prefetch_bytes: int = 1 << 28
    read_ahead_kib: int = 512
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    cache: str | None = None
    cache_bytes: int | None = None
    subdir: str = ""
    union: bool = False
    idle_timeout_s: int = 0
    shared: bool = False
    kernel: tuple[str, ...] = ()


def parse_options(words: Iterable[str], base: MountOptions | None = None) -> MountOptions:
    """Parse `-o` arguments, each a comma-separated list; later ones win. As for libfuse, `\\,` is no separator.

    Raises: ConfigError for an option that does not exist, misses its value or has one that makes no sense.
    """
    changes: dict[str, Any] = {}
    kernel: list[str] = list(base.kernel) if base else []
    for option in (option for word in words for option in _SEPARATOR.split(word) if option):
        name, equals, value = option.replace("\\,", ",").partition("=")
        if option in _KERNEL_OPTIONS:
            kernel.append(option)
        elif name in _FLAGS:
            if equals:
                raise ConfigError(f"option {name} takes no value, it has {value!r}")
            changes.update(_FLAGS[name])
        elif name in _WITHOUT_EFFECT:
            logger.warning("option %s= has no effect since %s", name, _WITHOUT_EFFECT[name])
        elif name in _VALUES:
            key, convert = _VALUES[name]
            if not value:
                raise ConfigError(f"option {name} needs a value: {name}=…")
            try:
                changes[key] = convert(value)
            except ValueError as error:
                raise ConfigError(f"option {name} cannot be {value!r}: {error}") from None
        else:
            raise ConfigError(f"there is no mount option {name!r}{_nearest(name)}")
    return dataclasses.replace(base or MountOptions(), **changes, kernel=tuple(kernel))


def parse_seconds(text: str) -> int:
    """Seconds from a number with s, min, h or d. Raises: ValueError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("it is a number of seconds, or one with min, h or d, such as 10min")
    return int(match[1]) * {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86400}[match[2]]


def _whole(low: int, high: int, base: int = 10) -> Callable[[str], int]:
    def convert(text: str) -> int:
        form = "an octal number" if base == 8 else "a whole number"
        try:
            number = int(text, base)
        except ValueError:
            raise ValueError(f"it is {form}") from None
        if not low <= number <= high:
            raise ValueError(
                f"it is {form} from {low:{'o' if base == 8 else 'd'}} to {high:{'o' if base == 8 else 'd'}}"
            )
        return number

    return convert


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, [*_FLAGS, *_VALUES, *_KERNEL_OPTIONS], 1)
    return f"; did you mean {near[0]!r}?" if near else ": see 'ffrfs mount --help'"


_FLAGS: dict[str, dict[str, Any]] = {
    "ro": {},
    "default_permissions": {},  # always on
    "allow_other": {"allow_other": True},
    "nonempty": {"nonempty": True},
    "union": {"union": True},
}
_WITHOUT_EFFECT = {"fill": "0.2"}  # and since which version
_MAX_ID = 0xFFFFFFFE
_VALUES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "uid": ("uid", _whole(0, _MAX_ID)),
    "gid": ("gid", _whole(0, _MAX_ID)),
    "umask": ("umask", _whole(0, 0o777, 8)),
    "fsname": ("fsname", str),
    "subdir": ("subdir", str),
    "workers": ("workers", _whole(1, 128)),
    "prefetch": ("prefetch_bytes", parse_size),
    "idle_timeout": ("idle_timeout_s", parse_seconds),
    "read_ahead_kb": ("read_ahead_kib", _whole(4, 16384)),
    "endpoint": ("endpoint", str),
    "region": ("region", str),
    "profile": ("profile", str),
    "cache": ("cache", os.path.abspath),
    "cache_size": ("cache_bytes", parse_size),
}
