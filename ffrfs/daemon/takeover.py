"""A mount that goes on when its daemon is replaced: by systemd after a crash, or by a newer program at a reload.

What the next daemon needs is the session's descriptor, and a description of what was served through it: inodes are rows
of the archive's index, so whoever serves the same archive answers as the daemon before. Both are kept in systemd's
descriptor store, or handed on across exec. The next daemon serves them if it would serve the same; otherwise it ends
the old mount and makes a new one. Sources: sd_notify(3), FDSTORE=1; sd_listen_fds(3).
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ffrfs.archive.shards import Shards
from ffrfs.daemon.notify import notify
from ffrfs.daemon.session import Session
from ffrfs.errors import MountError
from ffrfs.format.header import crc32
from ffrfs.format.index import Index
from ffrfs.fuse.channel import DEVICE
from ffrfs.linux.fusectl import open_abort
from ffrfs.mount.mountpoint import Mount, is_mounted, unmount_made
from ffrfs.mount.options import MountOptions

__all__ = ["Heritage", "Successor", "describe", "is_kept", "is_taken_up_within", "keep", "kept_nowhere", "taking_up"]

logger = logging.getLogger(__name__)

# To be raised whenever inodes, or what the kernel keeps of them, mean something else than before.
_MEANING = 1
_NAME = "ffrfs"  # of both descriptors in the store
_FIRST_DESCRIPTOR = 3  # that systemd passes
_HANDED_ON = "FFRFS_TAKEOVER"  # in the environment across exec: both descriptors, and for a trial that word
_TRIAL = "trial"
_MAX_DESCRIPTION_BYTES = 1 << 26
_TRIAL_SECONDS = 1800  # it may have to build an index
# What a mount keeps for as long as it lasts; other options are those of the daemon.
_LASTING = ("allow_other", "uid", "gid", "umask", "fsname", "subdir", "union", "kernel")
_SAMPLES = 4096
_LOOK_SECONDS = 0.1


def describe(archives: Sequence[Shards], mountpoint: str, options: MountOptions) -> dict[str, Any]:
    """What a mount serves, as JSON has it; the same for two daemons between which readers see no difference."""
    served = {
        "meaning of inodes": _MEANING,
        "mount point": mountpoint,
        "user": os.geteuid(),
        "archive": [
            (shards.paths, [dataclasses.astuple(shards.stamp(shard)) for shard in range(len(shards.paths))])
            for shards in archives
        ],
        **{f"option {name}": getattr(options, name) for name in _LASTING},
    }
    return dict(json.loads(json.dumps(served)))


def _fingerprint(index: Index) -> list[int]:
    """What tells an index apart from others of the same archive, whose inodes would be other files."""
    numbers = [len(index), index.directories, index.file_bytes]
    sample = range(1, len(index) + 1, max(len(index) // _SAMPLES, 1))
    return [*numbers, crc32(b"\0".join(map(index.path, sample)))]


class Heritage:
    """What an earlier daemon has left.

    Args: fd, of its session; description_fd, of its description; trial, whether it is only asked if it could be served.
    Attributes: description_fd; trial; session. Raises: ValueError, LookupError, TypeError, OSError if a daemon of ffrfs
    has left something else.
    """

    def __init__(self, fd: int, description_fd: int, trial: bool = False) -> None:
        self._fd, self.description_fd, self.trial = fd, description_fd, trial
        for inherited in (fd, description_fd):
            os.set_inheritable(inherited, False)
        said = json.loads(os.pread(description_fd, _MAX_DESCRIPTION_BYTES, 0))
        self._served: dict[str, Any] = said["served"]
        self._index: list[int] = said["index"]
        mount = Mount(**said["mount"])
        self.session = Session(fd, mount, bool(said["can_resend"]), int(said["opendir_errno"]))
        if not trial:
            _lock(description_fd)

    def check(self, served: dict[str, Any]) -> None:
        """Raises: MountError if this is not what was served, or the mount has gone."""
        mountpoint = self.session.mount.mountpoint
        for what in {**self._served, **served}:
            if self._served.get(what) != served.get(what):
                raise MountError(f"the mount at {mountpoint} cannot be taken over: the {what} is not as it was")
        if _has_ended(self._fd) or not is_mounted(self.session.mount):
            raise MountError(f"the mount at {mountpoint} cannot be taken over: it was unmounted")

    def check_index(self, index: Index) -> None:
        """Raises: MountError if this is not the index of what was served."""
        if _fingerprint(index) != self._index:
            raise MountError(
                f"the mount at {self.session.mount.mountpoint} cannot be taken over: the index is not as it was"
            )

    def abandon(self) -> None:
        """End the old mount at once: as long as its descriptor is kept and nobody serves it, readers hang."""
        if self.trial or self._fd < 0:
            return
        abort = open_abort(self.session.mount.connection) if not _has_ended(self._fd) else None
        if abort is not None:
            os.write(abort, b"1")
            os.close(abort)
        kept_nowhere()
        os.close(self._fd)
        os.close(self.description_fd)
        self._fd = -1

    def unmount(self) -> None:
        """Unmount the old mount, which is dead: not before there is something to show in its place."""
        with contextlib.suppress(MountError):
            unmount_made(self.session.mount)


@contextlib.contextmanager
def taking_up() -> Iterator[Heritage | None]:
    """What was left for this process, if anything; the block's failure ends that mount."""
    heritage = _inherited()
    try:
        yield heritage
    except BaseException:
        if heritage is not None:
            with contextlib.suppress(OSError):
                heritage.abandon()
        raise


def _inherited() -> Heritage | None:
    handed_on = os.environ.pop(_HANDED_ON, "").split(",")
    listen = [os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")]
    ours: list[int] = []
    try:
        if handed_on != [""]:
            ours = [int(number) for number in handed_on[:2]]
        elif listen[0] == str(os.getpid()):
            names = enumerate(listen[2].split(":"), _FIRST_DESCRIPTOR)
            ours = [fd for fd, name in names if name == _NAME]
            ours.sort(key=lambda fd: os.readlink(f"/proc/self/fd/{fd}") != DEVICE)  # in whatever order they come
        if not ours:
            return None
        fd, description_fd = ours
        return Heritage(fd, description_fd, _TRIAL in handed_on)
    except (ValueError, LookupError, TypeError, OSError) as error:
        if _TRIAL in handed_on:
            raise MountError(f"what the earlier daemon hands on is not understood ({error})") from None
        logger.warning("what an earlier daemon has left is not understood (%s): mounting anew", error)
        for fd in ours:
            with contextlib.suppress(OSError):
                os.close(fd)
        kept_nowhere()
        return None


def keep(session: Session, served: dict[str, Any], index: Index) -> int:
    """Describe a new mount, and have systemd keep it. Returns: a descriptor of the description."""
    said = {
        "served": served,
        "index": _fingerprint(index),
        "mount": dataclasses.asdict(session.mount),
        "can_resend": session.can_resend,
        "opendir_errno": session.opendir_errno,
    }
    fd = os.memfd_create("ffrfs-description", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, json.dumps(said).encode())
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    _lock(fd)
    if is_kept(session):
        kept_nowhere()
        notify("FDSTORE=1", f"FDNAME={_NAME}", descriptors=(session.fd, fd))
    return fd


def is_kept(session: Session) -> bool:
    """Whether systemd keeps what it is given: not where requests that were in hand could not be sent again."""
    return session.can_resend and bool(os.environ.get("NOTIFY_SOCKET"))


def kept_nowhere() -> None:
    """Have systemd keep no mount of this service any longer."""
    notify("FDSTOREREMOVE=1", f"FDNAME={_NAME}")


def _has_ended(fd: int) -> bool:
    """Whether the connection of a session has ended."""
    poll = select.poll()
    poll.register(fd, 0)  # POLLERR needs not be asked for
    return bool(poll.poll(0))


def is_taken_up_within(description_fd: int, seconds: float) -> bool:
    """Whether another daemon takes up the mount of this description in time; for processes that outlive their own."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            fcntl.lockf(description_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.lockf(description_fd, fcntl.LOCK_UN)
        time.sleep(_LOOK_SECONDS)
    return False


def _lock(description_fd: int) -> None:
    """Hold the description's lock for as long as this process lives, or execs."""
    fcntl.lockf(description_fd, fcntl.LOCK_EX)


class Successor:
    """The program that is installed now, to which a supervisor in the foreground hands its mount on.

    Args: session; description_fd.
    """

    def __init__(self, session: Session, description_fd: int) -> None:
        self._descriptors = session.fd, description_fd
        self._arguments = [sys.executable, *sys.orig_argv[1:]]

    def trial(self) -> int:
        """In a process of its own: become the program, which says by its exit status whether it could take over."""
        for number in (signal.SIGALRM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(_TRIAL_SECONDS)
        os.environ.pop("NOTIFY_SOCKET", None)
        self._become(f",{_TRIAL}")
        return 1

    def replace(self) -> None:
        """Become the program. Raises: OSError, and this process goes on."""
        self._become("")

    def _become(self, word: str) -> None:
        for fd in self._descriptors:
            os.set_inheritable(fd, True)
        os.environ[_HANDED_ON] = ",".join(map(str, self._descriptors)) + word
        try:
            os.execv(sys.executable, self._arguments)  # noqa: S606 - the same command as before
        finally:
            del os.environ[_HANDED_ON]
            for fd in self._descriptors:
                os.set_inheritable(fd, False)
