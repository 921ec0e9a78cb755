"""Mounting an archive: from paths and options to a running supervisor with its workers."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ffrfs.archive.building import load_mapped_index
from ffrfs.archive.shards import Shards
from ffrfs.archive.views import view_of
from ffrfs.cache.options import CacheOptions
from ffrfs.daemon.background import Foreground
from ffrfs.daemon.hangs import Hangs
from ffrfs.daemon.notify import notify
from ffrfs.daemon.processes import Processes
from ffrfs.daemon.session import Session, adopt_session, handed_descriptor, open_session, take_back
from ffrfs.daemon.supervisor import Supervisor
from ffrfs.daemon.takeover import Heritage, Successor, describe, is_kept, keep
from ffrfs.daemon.unused import Unused
from ffrfs.errors import ConfigError, MountError
from ffrfs.format.index import Index
from ffrfs.linux.fusectl import Waiting
from ffrfs.linux.ownership import check_files
from ffrfs.mount.device import check_device
from ffrfs.mount.mountpoint import Mount, check_mountpoint, clean_stale
from ffrfs.mount.options import MountOptions
from ffrfs.mount.probe import State, probe
from ffrfs.sources.opening import absolute
from ffrfs.sources.source import Access

__all__ = ["PreparedMount", "prepare"]

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 30.0
_AFTER_A_DEATH = ("fails what it had in hand: before Linux 6.9", "sends requests again")
# Of a daemon, beside the archive's: the connection, what processes share, trio's; with some to spare.
_OWN_DESCRIPTORS = 16


@dataclass(frozen=True)
class PreparedMount:
    """A mount about which everything was checked that can be before it is made.

    Attributes: served, as `describe` has it; heritage, of an earlier daemon, which is served instead of making a mount.
    """

    shards: Shards
    index: Index
    mountpoint: str
    options: MountOptions
    served: dict[str, Any]
    heritage: Heritage | None = None

    def serve(self, launch: Foreground) -> int:
        """Mount, tell `launch` how far it has come, serve until it ends; returns the exit status.

        Raises: MountError, ArchiveError, OSError before the mount answers.
        """
        return _serve(self, launch)


def prepare(
    archive: str | list[str],
    mountpoint: str,
    options: MountOptions,
    others: Sequence[str] = (),
    heritage: Heritage | None = None,
) -> PreparedMount:
    """Open the archive and check the mount point; a dead mount of ffrfs there is cleaned first.

    Args: others, archives that are shown beside the first, each in a folder of its name, or with the option `union`
    laid over it; heritage, what an earlier daemon has left, which is taken up if it is the same mount, and else ended.
    Raises: MountError, ArchiveError, ConfigError, OSError.
    """
    # Absolute, since the daemon will work in another folder when it looks whether the archive was replaced.
    access = Access(options.endpoint, options.region, options.profile)
    cache = CacheOptions(options.cache, options.cache_bytes) if options.cache else None
    first = absolute(archive) if isinstance(archive, str) else map(absolute, archive)
    opened = [Shards(first, access, cache)]
    opened += [Shards(absolute(other), access, cache) for other in others]
    if others and options.fsname is None:
        options = dataclasses.replace(options, fsname=":".join(shards.path for shards in opened))
    for shards in opened:
        _check_way(shards)
    served, left = describe(opened, mountpoint, options), heritage
    if heritage is not None:
        heritage = _unless_other(heritage, lambda left: left.check(served))
    indexes = [load_mapped_index(shards) for shards in opened]  # what is wrong is found while somebody can be told
    shards, index = view_of(opened, indexes, "union" if options.union else "folders", options.subdir)
    if heritage is not None:
        heritage = _unless_other(heritage, lambda left: left.check_index(index))
    if heritage is not None:
        return PreparedMount(shards, index, mountpoint, options, served, heritage)
    if left is not None:
        left.unmount()
    if handed_descriptor(mountpoint) is not None:
        _check_adoption(mountpoint, options)
        return PreparedMount(shards, index, mountpoint, options, served)
    if clean_stale(mountpoint):
        logger.warning("cleaned a dead mount at %s", mountpoint)
    check_mountpoint(mountpoint, shards.paths, options.nonempty)
    check_device()
    _check_descriptors()
    return PreparedMount(shards, index, mountpoint, options, served)


def _check_adoption(mountpoint: str, options: MountOptions) -> None:
    """Raises: ConfigError for what only who has mounted can do."""
    if options.idle_timeout_s:
        raise ConfigError(f"option idle_timeout does not go with {mountpoint}: only who has mounted can unmount")
    _check_descriptors()


def _unless_other(heritage: Heritage, check: Callable[[Heritage], None]) -> Heritage | None:
    """What is left of it: nothing, if that is not what is to be served. Raises: MountError if it was only asked."""
    try:
        check(heritage)
    except MountError as error:
        if heritage.trial:
            raise
        logger.warning("%s: mounting anew", error)
        heritage.abandon()
        return None
    return heritage


def _check_way(shards: Shards) -> None:
    """Raises: MountError where a user's link has led root to the archive: with allow_other, he could have root show to
    everybody what he may not read himself."""
    try:
        local = [(path, fd) for path, fd in zip(shards.paths, shards.descriptors, strict=True) if fd >= 0]
        check_files([path for path, _ in local], [fd for _, fd in local])
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        raise MountError(
            f"archive {shards.path} leads through {error.filename}, a link that other users can change: name what it"
            " leads to"
        ) from None


def _check_descriptors() -> None:
    """Raises: MountError where the daemon, which has as many files open as this process, could not open its own."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(os.listdir("/proc/self/fd")) + _OWN_DESCRIPTORS
    if needed > limit:
        raise MountError(f"this mount needs {needed} open files, and {limit} are allowed: raise that limit (ulimit -n)")


def _serve(mount: PreparedMount, launch: Foreground) -> int:
    options = mount.options
    heritage = mount.heritage
    session = heritage.session if heritage else _session(mount)
    launch.mounted()
    description_fd = heritage.description_fd if heritage else None
    if heritage is None and launch.can_be_succeeded and not session.adopted:
        description_fd = keep(session, mount.served, mount.index)
    place = session.mount.mountpoint if session.adopted else mount.mountpoint
    kept_fd = description_fd if is_kept(session) else None
    processes = Processes(mount.shards, mount.index, place, options, session, kept_fd)
    supervisor = Supervisor(
        session,
        processes.roles(),
        on_hangup=lambda: _report_replacement(mount.shards),
        revival=processes.revival,
        successor=Successor(session, description_fd) if description_fd is not None else None,
        is_successor=heritage is not None,
    )
    supervisor.unused = Unused(session.mount, options, processes.activity)
    supervisor.count = processes.count
    waiting = Waiting(session.mount.connection)
    supervisor.hangs = Hangs(processes.revival, waiting, processes.activity, processes.count)
    supervisor.start()
    if not session.adopted:  # which may not be seen from here, and is not ours to look into
        _check_answer(session.mount)
    _set_read_ahead(session.mount, options)
    status = f"{mount.shards.path} at {mount.mountpoint}: {mount.index.files} files, {options.workers} workers"
    logger.info("%s %s", "taken over:" if heritage else "serving", status)
    logger.info("when a worker dies, the kernel %s", _AFTER_A_DEATH[session.can_resend])
    launch.ready()
    notify("READY=1", f"STATUS=serving {status}")  # last: what is killed from here on is no beginning any more
    return supervisor.run()


def _session(mount: PreparedMount) -> Session:
    handed = handed_descriptor(mount.mountpoint)
    if handed is not None:
        return adopt_session(handed)
    return open_session(mount.mountpoint, mount.shards.path, mount.options)


def _check_answer(mount: Mount) -> None:
    """Raises: MountError, with nothing left mounted, if the mount does not answer."""
    if probe(mount, _ANSWER_SECONDS) is State.ALIVE:
        return
    take_back(mount)
    raise MountError(f"{mount.mountpoint} was mounted but does not answer; it was unmounted again")


def _set_read_ahead(mount: Mount, options: MountOptions) -> None:
    """Let the kernel ask for more at once, where this process has the right to say so."""
    path = f"/sys/class/bdi/{mount.device}/read_ahead_kb"
    try:
        with open(path, "w", encoding="ascii") as setting:
            setting.write(str(options.read_ahead_kib))
    except OSError as error:
        logger.debug("%s stays as it is: %s", path, error.strerror)


def _report_replacement(shards: Shards) -> None:
    for source, path in zip(shards.sources, shards.paths, strict=True):
        with contextlib.suppress(OSError):
            if not source.is_replaced():
                continue
        logger.warning("%s was replaced or removed: the mount goes on showing what it had; mount anew to see it", path)
