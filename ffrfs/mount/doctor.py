"""What stands in the way of a mount on this system, and of one that is there: findings, each with what to do."""

from __future__ import annotations

import contextlib
import ctypes
import enum
import importlib.metadata
import os
import platform
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from ffrfs.archive.index_file import UnusableIndexFile, index_file_paths, read_index_file
from ffrfs.archive.shards import Shards
from ffrfs.cache.folder import CacheFolder
from ffrfs.cache.options import cache_from_environment
from ffrfs.errors import ArchiveError, ConfigError, MountError
from ffrfs.mount.device import DEVICE, check_device
from ffrfs.mount.log import default_log_path
from ffrfs.mount.mountpoint import Mount, check_mountpoint, unmount_made
from ffrfs.mount.observation import Observation, observe
from ffrfs.mount.options import MountOptions
from ffrfs.mount.probe import State
from ffrfs.sources.opening import is_url

__all__ = ["Finding", "Level", "examine_mount", "examine_mountpoint", "examine_system"]

_FUSE_CONF = "/etc/fuse.conf"
_OLDEST_KERNEL = (4, 14)  # the first that says of a file whether it is cached (RWF_NOWAIT); clones came with 4.2
_LARGE_FILES = 10_000  # from here on an index is kept without being asked for


class Level(enum.Enum):
    """How bad a finding is; the value is the word for it."""

    GOOD = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is, and what can be done about it."""

    level: Level
    text: str
    remedy: str = ""


def examine_system() -> Iterator[Finding]:
    """Look at what every mount on this system needs."""
    yield _kernel()
    yield from _packages()
    yield _device()
    if os.geteuid() != 0:
        yield _fusermount()
        yield _allow_other()
    yield from _cache()


def _cache() -> Iterator[Finding]:
    """The cache that the environment names, if it does."""
    try:
        options = cache_from_environment()
        if options is None:
            return
        entries = list(CacheFolder(options).entries())
    except (OSError, ConfigError) as error:
        yield Finding(Level.PROBLEM, f"the cache of this node cannot be used: {error}", "correct FFRFS_CACHE")
        return
    held = sum(entry.held_bytes for entry in entries)
    yield Finding(Level.GOOD, f"the cache {options.folder} holds {held >> 20} MiB of {len(entries)} files")


def examine_mountpoint(mountpoint: str) -> Finding:
    """Whether something could be mounted at a place where nothing is."""
    try:
        check_mountpoint(mountpoint, [], nonempty=False)
    except MountError as error:
        return Finding(Level.PROBLEM, str(error))
    return Finding(Level.GOOD, f"nothing is mounted at {mountpoint}, and an archive can be")


def examine_mount(mount: Mount, state: State, fix: bool) -> Iterator[Finding]:
    """Look at one mount of ffrfs.

    Args: state, as it was found just now; fix, whether to unmount it if it is dead.
    """
    place = mount.mountpoint
    log = f"; its log is {default_log_path(place) or 'what --log says'}, or the journal"
    if state is State.DEAD:
        yield _dead(mount, fix, log)
    elif state is State.HANGING:
        yield Finding(
            Level.PROBLEM,
            f"it does not answer{log}",
            f"see whether its storage hangs; 'echo 1 > /sys/fs/fuse/connections/{mount.connection}/abort' gives it up",
        )
    else:
        yield _read_ahead(mount)
        try:
            seen = observe(place)
        except MountError as error:
            yield Finding(Level.NOTE, str(error))
            return
        yield Finding(Level.GOOD, f"it answers: {seen.files:,} files of {seen.archive}, {seen.workers} workers")
        yield from _trouble(seen, log)
        yield from _archive(seen, place)


def _kernel() -> Finding:
    text = f"Linux {platform.release()}, Python {platform.python_version()}"
    numbers = re.match(r"(\d+)\.(\d+)", platform.release())
    if numbers and (int(numbers[1]), int(numbers[2])) < _OLDEST_KERNEL:
        return Finding(Level.PROBLEM, text, "ffrfs needs Linux 4.14 or newer")
    return Finding(Level.GOOD, text)


def _packages() -> Iterator[Finding]:
    versions = []
    for package in ("ffrfs", "pyfuse3", "trio"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            if package != "ffrfs":  # which runs, installed or not
                remedy = "install the packages fuse3 and libfuse3-dev, then pip install 'ffrfs[fuse]'"
                yield Finding(
                    Level.PROBLEM, f"the Python package {package} is missing, so nothing can be mounted", remedy
                )
                return
    try:
        library = _libfuse_version()
    except ImportError as error:
        yield Finding(
            Level.PROBLEM, f"pyfuse3 cannot be imported: {error}", "install the package libfuse3-3, or pyfuse3 anew"
        )
        return
    yield Finding(Level.GOOD, f"{', '.join(versions)}, libfuse {library}")


def _libfuse_version() -> str:
    """The version of the library that pyfuse3 has loaded."""
    import pyfuse3  # noqa: F401

    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            path = line.rstrip("\n").partition("/")[2]
            if os.path.basename(path).startswith("libfuse3"):
                version = ctypes.CDLL("/" + path).fuse_pkgversion
                version.restype = ctypes.c_char_p
                return bytes(version()).decode()
    return "of unknown version"


def _device() -> Finding:
    try:
        check_device()
    except MountError as error:
        return Finding(Level.PROBLEM, str(error))
    return Finding(Level.GOOD, f"{DEVICE} can be opened")


def _fusermount() -> Finding:
    path = shutil.which("fusermount3")
    if path is None:
        return Finding(
            Level.PROBLEM, "fusermount3 is missing, without which users cannot mount", "install the package fuse3"
        )
    if not os.stat(path).st_mode & stat.S_ISUID:
        return Finding(Level.PROBLEM, f"{path} is not setuid root, so users cannot mount", f"as root: chmod u+s {path}")
    return Finding(Level.GOOD, f"{path} lets users mount")


def _allow_other() -> Finding:
    with contextlib.suppress(OSError), open(_FUSE_CONF, encoding="utf-8", errors="replace") as lines:
        if any(line.strip() == "user_allow_other" for line in lines):
            return Finding(Level.GOOD, f"{_FUSE_CONF} lets users mount with allow_other")
    return Finding(
        Level.NOTE,
        f"{_FUSE_CONF} does not let users mount with allow_other: what they mount is for themselves alone",
        f"as root, if others are to read it: add the line 'user_allow_other' to {_FUSE_CONF}",
    )


def _dead(mount: Mount, fix: bool, log: str) -> Finding:
    if not fix:
        remedy = f"'ffrfs umount {mount.mountpoint}' or 'ffrfs doctor --fix' removes it"
        return Finding(Level.PROBLEM, f"its daemon is gone, and reading fails{log}", remedy)
    try:
        unmount_made(mount)
    except MountError as error:
        return Finding(Level.PROBLEM, str(error), f"try again as root, or as user {mount.owner_uid}, who mounted it")
    return Finding(Level.GOOD, f"its daemon was gone: it is unmounted{log}")


def _read_ahead(mount: Mount) -> Finding:
    path, wanted = f"/sys/class/bdi/{mount.device}/read_ahead_kb", MountOptions().read_ahead_kib
    try:
        with open(path, encoding="ascii") as setting:
            number = int(setting.read())
    except (OSError, ValueError):
        return Finding(Level.NOTE, f"{path} cannot be read")
    if number < wanted:
        return Finding(
            Level.NOTE,
            f"read_ahead_kb is {number}: large files are read in more requests than need be",
            f"as root: echo {wanted} > {path}",
        )
    return Finding(Level.GOOD, f"read_ahead_kb is {number}")


def _trouble(seen: Observation, log: str) -> Iterator[Finding]:
    if seen.counters["checksum_failures"]:
        yield Finding(
            Level.PROBLEM,
            f"{seen.counters['checksum_failures']} reads of damaged records failed{log}",
            f"'ffrfs verify {seen.archive}' names every damaged file; get a good copy of the archive",
        )
    if seen.counters["io_errors"]:
        yield Finding(
            Level.PROBLEM,
            f"{seen.counters['io_errors']} requests failed because of the storage{log}",
            "see the kernel's messages (dmesg) about the disk or the network file system",
        )
    if seen.counters["internal_errors"]:
        yield Finding(
            Level.PROBLEM,
            f"{seen.counters['internal_errors']} requests failed by a defect of ffrfs{log}",
            "please report it with the traceback in the log",
        )
    if seen.counters["slow_reads"]:
        yield Finding(Level.NOTE, f"{seen.counters['slow_reads']} reads took more than a second: the storage is slow")


def _archive(seen: Observation, mountpoint: str) -> Iterator[Finding]:
    if is_url(seen.archive):
        return  # reaching it takes credentials, which the mount has and this user may not have
    try:
        shards = Shards(seen.archive)
        with contextlib.closing(shards):
            if shards.mtime_ns() != os.stat(mountpoint).st_mtime_ns:
                raise FileNotFoundError
            yield _index(shards, seen.files)
            yield from _storage(shards)
    except FileNotFoundError:
        yield Finding(
            Level.PROBLEM,
            f"{seen.archive} was replaced or removed: the mount goes on showing what it had",
            f"to see the new one: ffrfs umount {mountpoint}, and mount anew",
        )
    except (OSError, ArchiveError, ConfigError) as error:
        yield Finding(Level.NOTE, f"{seen.archive} cannot be examined by this user: {error}")


def _index(shards: Shards, files: int) -> Finding:
    problems = []
    for path in index_file_paths(shards):
        try:
            read_index_file(path, shards)
        except FileNotFoundError:
            continue
        except UnusableIndexFile as problem:
            problems.append(f"the index {path} is not used: {problem}")
        else:
            return Finding(Level.GOOD, f"its index is kept at {path}")
    remedy = f"'ffrfs index {shards.path}' makes a new one"
    if problems:
        return Finding(Level.NOTE, "; ".join(problems), remedy)
    if files < _LARGE_FILES:
        return Finding(Level.GOOD, "no index is kept: the archive is small, and building it takes no time")
    return Finding(Level.NOTE, "no index is kept: each mount builds it anew", remedy)


def _storage(shards: Shards) -> Iterator[Finding]:
    try:
        shards.read_near(0, 0, bytearray(1))
    except BlockingIOError:
        pass
    except OSError as error:
        text = (
            f"the archive's storage cannot tell what is cached ({error.strerror}): re-reading takes longer than need be"
        )
        yield Finding(Level.NOTE, text, "copy the archive to a local disk")
