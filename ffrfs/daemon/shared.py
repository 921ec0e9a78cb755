"""One mount for all jobs of a node: the first mounts, the others join, the last one unmounts.

Each job holds the mount's root open for as long as it runs, and everybody unmounts only what nobody uses, so the kernel
does the counting, and SIGKILL of a job counts as its end. The daemon is no job's child: it tries from time to time, for
jobs that could not. Whoever mounts holds a lock on the folder below the mount, and the daemon for as long as it lives:
there is one at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import signal
import time
from collections.abc import Callable

from ffrfs.archive.shards import Shards
from ffrfs.daemon.background import ENDING, Launch, in_background
from ffrfs.daemon.serve import PreparedMount, prepare
from ffrfs.errors import FfrfsError, MountError
from ffrfs.mount.log import start_default_log
from ffrfs.mount.mountpoint import DEAD_ERRNOS, Mount, clean_stale, find_mount, real_path, unmount_unused
from ffrfs.mount.observation import observe
from ffrfs.mount.options import MountOptions

__all__ = ["SharedMount"]

logger = logging.getLogger(__name__)

_AGAIN_SECONDS, _WARNING_SECONDS = 0.05, 10.0


class SharedMount:
    """A job's part in such a mount. Signals that end processes are to be blocked.

    Args: archive; mountpoint, absolute; options, for whoever mounts; own_log, whether the daemon keeps the log that
    this process has; debug, whether it logs more.
    """

    def __init__(self, archive: str, mountpoint: str, options: MountOptions, own_log: bool, debug: bool) -> None:
        self._archive, self._mountpoint, self._options = os.path.abspath(archive), mountpoint, options
        self._own_log, self._debug = own_log, debug
        self._waited_seconds = 0.0
        self._root = -1
        self._mount: Mount | None = None

    def enter(self) -> int:
        """Join the mount, or make it; returns the number of a signal that came first, or 0.

        Raises: MountError, of which one is that another archive is mounted there; ArchiveError, OSError.
        """
        while not self._join():
            info = signal.sigtimedwait(ENDING, 0)
            if info is not None:
                return info.si_signo
            lock = self._try_lock()
            try:
                if lock is None:
                    self._wait()
                elif find_mount(self._mountpoint) is None:
                    in_background(self._serve(self._prepare()), self._mountpoint, shared=True)
            finally:
                if lock is not None:
                    os.close(lock)
        return 0

    def leave(self) -> None:
        """Let go of the mount, and unmount it if nobody else uses it."""
        if self._root < 0:
            return
        os.close(self._root)
        self._root = -1
        with contextlib.suppress(FfrfsError):
            if self._mount is not None:
                unmount_unused(self._mount)

    def _join(self) -> bool:
        """Hold the mount that is there; False if there is none."""
        mount = find_mount(self._mountpoint)
        if mount is None:
            return False
        try:
            root = os.open(self._mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in DEAD_ERRNOS:
                clean_stale(self._mountpoint)
                return False
            raise MountError(f"the mount at {self._mountpoint} cannot be joined: {error.strerror}") from None
        try:
            if os.fstat(root).st_dev != mount.device_number or not self._is_wanted(root):
                return False  # it has gone since
            self._root, root = root, -1
        finally:
            if root >= 0:
                os.close(root)
        return True

    def _is_wanted(self, root: int) -> bool:
        """Whether it shows our archive and still lives. Raises: MountError if it shows another one."""
        try:
            seen = observe(self._mountpoint)
        except MountError:
            if clean_stale(self._mountpoint):
                return False
            raise
        with contextlib.closing(Shards(self._archive)) as shards:
            same = os.path.realpath(seen.archive) == os.path.realpath(self._archive)
            if not same or os.fstat(root).st_mtime_ns != shards.mtime_ns():
                raise MountError(
                    f"at {self._mountpoint} another archive is mounted, {seen.archive}, or an earlier one of that name:"
                    " choose another mount point"
                )
        self._mount = find_mount(self._mountpoint) if seen.shared else None
        return True

    def _wait(self) -> None:
        time.sleep(_AGAIN_SECONDS)
        self._waited_seconds += _AGAIN_SECONDS
        if self._waited_seconds > _WARNING_SECONDS:
            self._waited_seconds = -math.inf
            logger.warning("waiting for another job that mounts at %s, or a daemon that ends", self._mountpoint)

    def _try_lock(self) -> int | None:
        """The folder that is to be mounted over, locked; None if somebody else has it."""
        try:
            fd = os.open(self._mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            self._prepare()  # which says what is wrong with it
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except OSError as error:
            logger.debug("%s cannot be locked: %s", self._mountpoint, error.strerror)
        return fd

    def _prepare(self) -> PreparedMount:
        """Open the archive, which may take long: what ends the job may end it here."""
        before = signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        try:
            return prepare(self._archive, self._mountpoint, self._options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _serve(self, mount: PreparedMount) -> Callable[[Launch], int]:
        def serve(launch: Launch) -> int:
            if not self._own_log:
                start_default_log(real_path(self._mountpoint), self._debug)
            return mount.serve(launch)

        return serve
