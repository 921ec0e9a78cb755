"""The session of a mount: pyfuse3 mounts, and nothing more; FUSE_INIT is answered here."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import re
import select
import sys
from dataclasses import dataclass

import pyfuse3

from ffrfs.errors import MountError
from ffrfs.fuse.channel import BUFFER_BYTES, DEVICE, MAX_WRITE_BYTES, Channel
from ffrfs.fuse.wire import HEADER_BYTES, Init, Opcode, ProtocolError, init_reply, init_request, request_header
from ffrfs.mount.mountpoint import Mount, list_mounts, mount_on, open_mountpoint, unmount_made
from ffrfs.mount.options import MountOptions

__all__ = ["Session", "adopt_session", "handed_descriptor", "open_session", "take_back"]

logger = logging.getLogger(__name__)

NO_RESEND = "FFRFS_NO_RESEND"  # in the environment: do as if the kernel had none; for tests

_HANDED = re.compile("/dev/fd/([0-9]{1,9})")
_INIT_SECONDS = 30.0
_MIN_MINOR, _OUR_MINOR = 23, 38  # of protocol 7; 23: Linux 3.16, the first to take ENOSYS for OPEN
# What the kernel sends without waiting, for everybody; 12 by default. The second: from when on it holds back readahead.
_MAX_BACKGROUND, _CONGESTION = 128, 96
_MAX_PAGES = 256  # of one READ: 1 MiB

# Bits of fuse_init_in.flags. Everything else stays off: locks are the kernel's own, and nothing is written.
_ASYNC_READ = 1 << 0  # several READs of one file at a time
_EXPORT_SUPPORT = 1 << 4  # LOOKUPs of `.` and `..`, so that file handles and NFS work
_AUTO_INVAL_DATA = 1 << 12  # a new mtime drops the pages: of the statistics
_DO_READDIRPLUS = 1 << 13  # listings with attributes, and always: READDIRPLUS_AUTO (14) is left off
_ASYNC_DIO = 1 << 15  # O_DIRECT reads of over 1 MiB are sent at once
_PARALLEL_DIROPS = 1 << 18  # LOOKUPs and listings of one folder at a time
_MAX_PAGES_FLAG = 1 << 22  # `max_pages` is set
_NO_OPENDIR_SUPPORT = 1 << 24  # offered: ENOSYS for OPENDIR is understood, and such listings are kept (Linux 5.1)
_INIT_EXT = 1 << 30  # `flags2` is there
_WANTED = (
    _ASYNC_READ | _EXPORT_SUPPORT | _AUTO_INVAL_DATA | _DO_READDIRPLUS | _ASYNC_DIO | _PARALLEL_DIROPS
    | _MAX_PAGES_FLAG | _INIT_EXT
)  # fmt: skip


@dataclass(frozen=True)
class Session:
    """A mount whose FUSE_INIT was answered.

    Attributes: fd, the session's descriptor; mount; can_resend, whether the kernel sends the requests of a dead worker
    again; opendir_errno, with which OPENDIR is to be answered, or 0; adopted, whether somebody else has mounted, and is
    to unmount.
    """

    fd: int
    mount: Mount
    can_resend: bool
    opendir_errno: int
    adopted: bool = False


def handed_descriptor(mountpoint: str) -> int | None:
    """The descriptor of which /dev/fd/N as a mount point speaks, mounted by who has started this process; else None.

    Raises: MountError if it is no descriptor of /dev/fuse.
    """
    match = _HANDED.fullmatch(mountpoint)
    if match is None:
        return None
    with contextlib.suppress(OSError):
        if os.readlink(f"/proc/self/fd/{match[1]}") == DEVICE:
            return int(match[1])
    raise MountError(
        f"{mountpoint} is no descriptor of {DEVICE}: whoever mounts is to leave one open under that number"
    )


def adopt_session(fd: int) -> Session:
    """Answer FUSE_INIT of a mount that somebody else has made. Raises: MountError, OSError."""
    os.set_inheritable(fd, False)
    os.set_blocking(fd, True)
    offered = _answer_init(fd)
    return Session(fd, _foreign_mount(fd), _try_resend(fd), _opendir_errno(offered), adopted=True)


def open_session(mountpoint: str, source: str, options: MountOptions) -> Session:
    """Mount and answer FUSE_INIT. Raises: MountError, OSError; nothing is left mounted then."""
    fd, made = _mount(mountpoint, source, options)
    try:
        if made is None:
            raise MountError(f"{mountpoint} was mounted and has gone at once: somebody else has unmounted it")
        offered = _answer_init(fd)
        return Session(fd, made, _try_resend(fd), _opendir_errno(offered))
    except BaseException:
        if made is not None:
            take_back(made)
        os.close(fd)
        raise


def take_back(mount: Mount) -> None:
    """Unmount what could not be served."""
    with contextlib.suppress(MountError):
        unmount_made(mount)


def _mount(mountpoint: str, source: str, options: MountOptions) -> tuple[int, Mount | None]:
    """The session's descriptor, and what was mounted."""
    place = open_mountpoint(mountpoint)
    # As root, a name that nobody can make lead elsewhere; a user's fusermount3, which could not use it, looks itself.
    name = f"/proc/self/fd/{place}" if os.geteuid() == 0 else mountpoint
    before = _descriptors()
    try:
        pyfuse3.init(pyfuse3.Operations(), name, _fuse_options(source, options))
        new = _descriptors() - before
        if len(new) != 1:
            pyfuse3.close(unmount=True)
            raise MountError(f"libfuse has mounted {mountpoint}, but with {len(new)} descriptors of {DEVICE}")
        return new.pop(), mount_on(place)
    except RuntimeError as error:
        raise MountError(_why_not_mounted(mountpoint, options)) from error
    finally:
        os.close(place)


def _fuse_options(source: str, options: MountOptions) -> set[str]:
    fsname = options.fsname if options.fsname is not None else source
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


def _descriptors() -> set[int]:
    """The descriptors of /dev/fuse in this process, of which some may be inherited."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the descriptor that listed them
            if os.readlink(f"/proc/self/fd/{name}") == DEVICE:
                found.add(int(name))
    return found


def _why_not_mounted(mountpoint: str, options: MountOptions) -> str:
    if options.allow_other and os.geteuid() != 0:
        return (
            f"{mountpoint} could not be mounted: for allow_other, /etc/fuse.conf must have the line 'user_allow_other';"
            " libfuse's own message is above"
        )
    return f"{mountpoint} could not be mounted; libfuse's own message is above"


def _opendir_errno(offered: Init) -> int:
    return errno.ENOSYS if offered.flags & _NO_OPENDIR_SUPPORT else 0


def _foreign_mount(fd: int) -> Mount:
    """What can be known of a mount by its descriptor: where it is, if Linux tells (6.13) and it can be seen from here.
    Its number is 0, since it is not ours to unmount."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as facts:
        connections = [line.split()[1] for line in facts if line.startswith("fuse_connection:")]
    device = f"0:{connections[0] if connections else 0}"
    seen = [mount for mount in list_mounts(None) if mount.device == device]
    unseen = Mount(0, f"/dev/fd/{fd}", device, "fuse", "", "")
    return dataclasses.replace(seen[-1], number=0) if seen else unseen


def _answer_init(fd: int) -> Init:
    """Answer FUSE_INIT. Returns: what the kernel offers. Raises: MountError if that is not enough."""
    if not select.select([fd], [], [], _INIT_SECONDS)[0]:
        raise MountError("the kernel has mounted but does not say which FUSE it speaks")
    channel, buffer = Channel(fd), memoryview(bytearray(BUFFER_BYTES))
    request = buffer[: channel.receive(buffer)]
    opcode, unique, _, _ = request_header(request)
    if opcode != Opcode.INIT:
        raise ProtocolError(f"request {opcode} before FUSE_INIT")
    offered = init_request(request[HEADER_BYTES:])
    if offered.major != 7 or offered.minor < _MIN_MINOR:
        channel.reply(unique, error=errno.EPROTO)
        raise MountError(f"this kernel speaks FUSE {offered.major}.{offered.minor}: Linux 3.16 or newer is needed")
    minor, limits = min(offered.minor, _OUR_MINOR), (_MAX_BACKGROUND, _CONGESTION, MAX_WRITE_BYTES, _MAX_PAGES)
    channel.reply(unique, init_reply(minor, offered.max_readahead, offered.flags & _WANTED, *limits))
    return offered


def _try_resend(fd: int) -> bool:
    """Whether the kernel knows FUSE_NOTIFY_RESEND, as Linux does since 6.9: tried, since distributions backport."""
    if os.environ.get(NO_RESEND):
        return False
    try:
        Channel(fd).resend()
    except OSError as error:
        logger.debug("requests cannot be sent again: %s", error)
        return False
    return True
