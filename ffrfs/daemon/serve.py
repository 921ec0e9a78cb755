"""Mounting an archive: from paths and options to a running supervisor with its workers."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import logging
import os
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyfuse3
import trio

from ffrfs.archive.building import load_mapped_index
from ffrfs.archive.shards import Shards
from ffrfs.archive.views import view_of
from ffrfs.daemon.background import Foreground
from ffrfs.daemon.notify import notify
from ffrfs.daemon.supervisor import Supervisor
from ffrfs.daemon.worker import begin_process, run_worker
from ffrfs.errors import MountError
from ffrfs.format.index import Index
from ffrfs.fs.changes import ChangeWatch
from ffrfs.fs.content import Content
from ffrfs.fs.loop import FuseLoop
from ffrfs.fs.operations import ArchiveOperations
from ffrfs.fs.options import TreeOptions
from ffrfs.fs.prefetch import Announcer, Prefetcher
from ffrfs.fs.state import SharedState
from ffrfs.fs.statistics import StatisticsFolder
from ffrfs.linux.ownership import check_files
from ffrfs.mount.device import check_device
from ffrfs.mount.mountpoint import (
    Mount,
    check_mountpoint,
    clean_stale,
    mount_on,
    open_mountpoint,
    unmount_made,
)
from ffrfs.mount.options import MountOptions
from ffrfs.mount.probe import State, probe

__all__ = ["PreparedMount", "prepare"]

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 30.0
# Of a daemon, beside the archive's: the connection, what processes share, trio's; with some to spare.
_OWN_DESCRIPTORS = 16


@dataclass(frozen=True)
class PreparedMount:
    """A mount about which everything was checked that can be before it is made."""

    shards: Shards
    index: Index
    mountpoint: str
    options: MountOptions

    def serve(self, launch: Foreground) -> int:
        """Mount, tell `launch` how far it has come, serve until it ends; returns the exit status.

        Raises: MountError, ArchiveError, OSError before the mount answers.
        """
        return _serve(self, launch)


def prepare(
    archive: str | list[str], mountpoint: str, options: MountOptions, others: Sequence[str] = ()
) -> PreparedMount:
    """Open the archive and check the mount point; a dead mount of ffrfs there is cleaned first.

    Args: others, archives that are shown beside the first, each in a folder of its name, or with the option `union`
    laid over it. Raises: MountError, ArchiveError, ConfigError, OSError.
    """
    # Absolute, since the daemon will work in another folder when it looks whether the archive was replaced.
    opened = [Shards(os.path.abspath(archive) if isinstance(archive, str) else map(os.path.abspath, archive))]
    opened += [Shards(os.path.abspath(other)) for other in others]
    if others and options.fsname is None:
        options = dataclasses.replace(options, fsname=":".join(shards.path for shards in opened))
    for shards in opened:
        _check_way(shards)
    indexes = [load_mapped_index(shards) for shards in opened]  # what is wrong is found while somebody can be told
    shards, index = view_of(opened, indexes, "union" if options.union else "folders", options.subdir)
    if clean_stale(mountpoint):
        logger.warning("cleaned a dead mount at %s", mountpoint)
    check_mountpoint(mountpoint, shards.paths, options.nonempty)
    check_device()
    _check_descriptors()
    return PreparedMount(shards, index, mountpoint, options)


def _check_way(shards: Shards) -> None:
    """Raises: MountError where a user's link has led root to the archive: with allow_other, he could have root show to
    everybody what he may not read himself."""
    try:
        check_files(shards.paths, shards.descriptors)
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
    options, shards, index = mount.options, mount.shards, mount.index
    workers = options.workers
    state = SharedState(workers + 1, len(index.records), len(index))  # a row for the prefetcher
    loop = FuseLoop()
    loop.install()
    tree = TreeOptions(
        uid=os.geteuid() if options.uid is None else options.uid,
        gid=os.getegid() if options.gid is None else options.gid,
        umask=options.umask,
        mtime_ns=shards.mtime_ns(),
        fill_bytes=options.fill_bytes,
    )
    announcer = Announcer(state) if options.prefetch_bytes else None
    statistics = StatisticsFolder(state, shards.path, mount.mountpoint, workers, index.files)
    content = Content(shards, index, state, ChangeWatch(shards))
    operations = ArchiveOperations(index, content, tree, state, loop, statistics, announcer)
    session_fd, made = _mount(operations, loop, mount)
    launch.mounted()
    supervisor_pid = os.getpid()

    def worker(row: int) -> int:
        operations.become_worker(row)
        return run_worker(loop, session_fd, supervisor_pid, shared=workers > 1)

    def prefetcher() -> int:
        assert announcer is not None  # noqa: S101 - this role exists only then
        begin_process(supervisor_pid)
        Prefetcher(shards, index, content, state, workers, announcer, options.prefetch_bytes).run()
        return 0

    roles: list[Callable[[], int]] = [functools.partial(worker, row) for row in range(workers)]
    if announcer is not None:
        roles.append(prefetcher)
    supervisor = Supervisor(made, session_fd, roles, on_hangup=lambda: _report_replacement(shards))
    supervisor.start()
    _check_answer(made)
    _tune_connection(made, options)
    status = f"{shards.path} at {mount.mountpoint}: {index.files} files, {workers} workers"
    logger.info("serving %s", status)
    notify("READY=1", f"STATUS=serving {status}")
    launch.ready()
    return supervisor.run()


def _mount(operations: ArchiveOperations, loop: FuseLoop, mount: PreparedMount) -> tuple[int, Mount]:
    """Mount and answer FUSE_INIT; returns the session's descriptor, and what was mounted."""
    place = open_mountpoint(mount.mountpoint)
    # As root, a name that nobody can make lead elsewhere; a user's fusermount3, which could not use it, looks itself.
    name = f"/proc/self/fd/{place}" if os.geteuid() == 0 else mount.mountpoint
    try:
        pyfuse3.init(operations, name, _fuse_options(mount))
        made = mount_on(place)
    except RuntimeError as error:
        raise MountError(_why_not_mounted(mount.mountpoint, mount.options)) from error
    finally:
        os.close(place)
    try:
        trio.run(loop.until_init)
        if made is None:
            raise MountError(f"{mount.mountpoint} was mounted and has gone at once: somebody else has unmounted it")
        return _session_fd(), made
    except BaseException:
        if made is not None:
            _take_back(made)
        pyfuse3.close(unmount=False)
        raise


def _fuse_options(mount: PreparedMount) -> set[str]:
    options = mount.options
    fsname = options.fsname if options.fsname is not None else mount.shards.path
    words = {"default_permissions", "ro", "subtype=ffrfs", *options.kernel}
    words.add("fsname=" + fsname.replace("\\", "\\\\").replace(",", "\\,"))
    if options.allow_other:
        words.add("allow_other")
    return {_Option(word) for word in words}


class _Option(str):
    """An option of libfuse's that may be any bytes; pyfuse3 would have it in ASCII."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return super().encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def _take_back(mount: Mount) -> None:
    with contextlib.suppress(MountError):
        unmount_made(mount)


def _session_fd() -> int:
    """libfuse's descriptor of the session, which pyfuse3 does not tell: the only one of /dev/fuse in this process."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the descriptor that listed them
            if os.readlink(f"/proc/self/fd/{name}") == "/dev/fuse":
                return int(name)
    raise MountError("libfuse has mounted, but has no descriptor of /dev/fuse open")


def _why_not_mounted(mountpoint: str, options: MountOptions) -> str:
    if options.allow_other and os.geteuid() != 0:
        return (
            f"{mountpoint} could not be mounted: for allow_other, /etc/fuse.conf must have the line 'user_allow_other';"
            " libfuse's own message is above"
        )
    return f"{mountpoint} could not be mounted; libfuse's own message is above"


def _check_answer(mount: Mount) -> None:
    """Raises: MountError, with nothing left mounted, if the mount does not answer."""
    if probe(mount, _ANSWER_SECONDS) is State.ALIVE:
        return
    _take_back(mount)
    raise MountError(f"{mount.mountpoint} was mounted but does not answer; it was unmounted again")


def _tune_connection(mount: Mount, options: MountOptions) -> None:
    """Let the kernel ask for more at once, where this process has the right to say so."""
    settings = {
        f"/sys/class/bdi/{mount.device}/read_ahead_kb": options.read_ahead_kib,
        f"/sys/fs/fuse/connections/{mount.connection}/max_background": 128,
        f"/sys/fs/fuse/connections/{mount.connection}/congestion_threshold": 96,
    }
    for path, number in settings.items():
        try:
            with open(path, "w", encoding="ascii") as setting:
                setting.write(str(number))
        except OSError as error:
            logger.debug("%s stays as it is: %s", path, error.strerror)


def _report_replacement(shards: Shards) -> None:
    for fd, path in zip(shards.descriptors, shards.paths, strict=True):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                continue
        logger.warning("%s was replaced or removed: the mount goes on showing what it had; mount anew to see it", path)
