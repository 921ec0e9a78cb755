"""Requests and replies of FUSE as bytes and as values. No I/O, no state.

All numbers are little-endian, as on every machine that ffrfs runs on. The layout of each structure is quoted beside the
code that packs it. Source: include/uapi/linux/fuse.h.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CHANGES",
    "DIRENT",
    "DIRENTPLUS",
    "DIRENT_ALIGN_BYTES",
    "HEADER_BYTES",
    "RESENT",
    "Init",
    "Opcode",
    "ProtocolError",
    "attributes_reply",
    "batch_forgotten",
    "entry_reply",
    "init_reply",
    "init_request",
    "invalidation",
    "name_of",
    "open_flags",
    "opened_reply",
    "range_of",
    "reply_header",
    "request_header",
    "resend_notification",
    "statfs_reply",
    "statx_reply",
    "store_notification",
]


class ProtocolError(Exception):
    """A request that the kernel cannot have sent."""


class Opcode(enum.IntEnum):
    """enum fuse_opcode: those that are answered by something else than ENOSYS."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    SETXATTR = 21
    REMOVEXATTR = 24
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    COPY_FILE_RANGE = 47
    TMPFILE = 51
    STATX = 52


CHANGES = frozenset(
    {
        Opcode.SETATTR, Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME,
        Opcode.LINK, Opcode.WRITE, Opcode.SETXATTR, Opcode.REMOVEXATTR, Opcode.CREATE, Opcode.FALLOCATE, Opcode.RENAME2,
        Opcode.COPY_FILE_RANGE, Opcode.TMPFILE,
    }
)  # fmt: skip

RESENT = 1 << 63  # of a request's `unique`: it was sent before (FUSE_UNIQUE_RESEND)

# struct fuse_in_header { uint32 len, opcode; uint64 unique, nodeid; uint32 uid, gid, pid; uint16 total_extlen,
#   padding }
_IN_HEADER = struct.Struct("<IIQQIIIHH")
HEADER_BYTES = _IN_HEADER.size
# struct fuse_out_header { uint32 len; int32 error; uint64 unique }
_OUT_HEADER = struct.Struct("<IiQ")
# struct fuse_init_in { uint32 major, minor, max_readahead, flags, flags2; uint32 unused[11] }; the last two since 7.36
_INIT_IN = struct.Struct("<IIII")
_INIT_IN_FLAGS2 = struct.Struct("<I")
# struct fuse_init_out { uint32 major, minor, max_readahead, flags; uint16 max_background, congestion_threshold;
#   uint32 max_write, time_gran; uint16 max_pages, map_alignment; uint32 flags2, max_stack_depth; uint16 unused[12] }
_INIT_OUT = struct.Struct("<IIIIHHIIHHII24x")
# struct fuse_read_in { uint64 fh, offset; uint32 size, read_flags; uint64 lock_owner; uint32 flags, padding }
_READ_IN = struct.Struct("<QQI")
# struct fuse_batch_forget_in { uint32 count, dummy }; then struct fuse_forget_one { uint64 nodeid, nlookup }
_BATCH_FORGET_IN = struct.Struct("<II")
_FORGET_ONE_BYTES = 16
# struct fuse_open_in { uint32 flags, open_flags }; struct fuse_open_out { uint64 fh; uint32 open_flags; int32 backing }
_OPEN_IN, _OPEN_OUT = struct.Struct("<II"), struct.Struct("<QIi")
# struct fuse_attr { uint64 ino, size, blocks, atime, mtime, ctime; uint32 atimensec, mtimensec, ctimensec, mode, nlink,
#   uid, gid, rdev, blksize, flags }
_ATTR = "QQQQQQIIIIIIIIII"
# struct fuse_attr_out { uint64 attr_valid; uint32 attr_valid_nsec, dummy; struct fuse_attr attr }
_ATTR_OUT = struct.Struct("<QII" + _ATTR)
# struct fuse_entry_out { uint64 nodeid, generation, entry_valid, attr_valid; uint32 entry_valid_nsec, attr_valid_nsec;
#   struct fuse_attr attr }
_ENTRY_OUT = struct.Struct("<QQQQII" + _ATTR)
# struct fuse_statx_out { uint64 attr_valid; uint32 attr_valid_nsec, flags; uint64 spare[2]; struct fuse_statx stat }
# struct fuse_statx { uint32 mask, blksize; uint64 attributes; uint32 nlink, uid, gid; uint16 mode, spare; uint64 ino,
#   size, blocks, attributes_mask; struct fuse_sx_time atime, btime, ctime, mtime; uint32 rdev_major, rdev_minor,
#   dev_major, dev_minor; uint64 spare2[14] }; struct fuse_sx_time { int64 tv_sec; uint32 tv_nsec; int32 reserved }
_STATX_OUT = struct.Struct("<QII16x" + "IIQIIIHHQQQQ" + 4 * "qIi" + "IIII112x")
_STATX_ALL = 0xFFF  # STATX_BASIC_STATS | STATX_BTIME
# struct fuse_statfs_out { struct fuse_kstatfs { uint64 blocks, bfree, bavail, files, ffree; uint32 bsize, namelen,
#   frsize, padding, spare[6] } }
_STATFS_OUT = struct.Struct("<QQQQQIII28x")


class Init(NamedTuple):
    """What the kernel offers in FUSE_INIT; flags: the 64 bits of `flags` and `flags2`."""

    major: int
    minor: int
    max_readahead: int
    flags: int


def request_header(request: memoryview) -> tuple[int, int, int, int]:
    """Opcode, unique, nodeid and uid of a request. Raises: ProtocolError if it is cut short."""
    try:
        size, opcode, unique, nodeid, uid, _, _, _, _ = _IN_HEADER.unpack_from(request)
    except struct.error:
        raise ProtocolError(f"a request of {len(request)} bytes") from None
    if size != len(request):
        raise ProtocolError(f"a request of {len(request)} bytes that says it has {size}")
    return opcode, unique, nodeid, uid


def init_request(body: memoryview) -> Init:
    """Raises: ProtocolError."""
    major, minor, max_readahead, flags = _unpack(_INIT_IN, body)
    if minor >= 36 and len(body) >= _INIT_IN.size + _INIT_IN_FLAGS2.size:
        flags |= _INIT_IN_FLAGS2.unpack_from(body, _INIT_IN.size)[0] << 32
    return Init(major, minor, max_readahead, flags)


def init_reply(
    minor: int, max_readahead: int, flags: int, max_background: int, congestion: int, max_write: int, max_pages: int
) -> bytes:
    """The answer to FUSE_INIT; flags are of the first 32."""
    return _INIT_OUT.pack(7, minor, max_readahead, flags, max_background, congestion, max_write, 1, max_pages, 0, 0, 0)


def name_of(body: memoryview) -> bytes:
    """The name that a LOOKUP is about, which ends with a NUL. Raises: ProtocolError."""
    name = bytes(body)
    if not name.endswith(b"\0") or b"\0" in name[:-1]:
        raise ProtocolError("a name that does not end with NUL")
    return name[:-1]


def range_of(body: memoryview) -> tuple[int, int]:
    """Offset and size of a READ, READDIR or READDIRPLUS. Raises: ProtocolError."""
    _, offset, size = _unpack(_READ_IN, body)
    return offset, size


def open_flags(body: memoryview) -> int:
    """The flags of open(2) in an OPEN. Raises: ProtocolError."""
    return int(_unpack(_OPEN_IN, body)[0])


def batch_forgotten(body: memoryview) -> NDArray[np.uint64]:
    """The nodeids in a BATCH_FORGET, shape (count,). Raises: ProtocolError."""
    count, _ = _unpack(_BATCH_FORGET_IN, body)
    ones = body[_BATCH_FORGET_IN.size :]
    if len(ones) < count * _FORGET_ONE_BYTES:
        raise ProtocolError(f"{count} forgotten inodes in {len(ones)} bytes")
    return np.frombuffer(ones, "<u8", 2 * count)[::2]


def entry_reply(nodeid: int, entry_seconds: int, attr_seconds: int, attr: tuple[int, ...] = (0,) * 16) -> bytes:
    """The answer to LOOKUP: nodeid 0 is a negative entry.

    Args: attr, the fields of struct fuse_attr in their order; so below.
    """
    return _ENTRY_OUT.pack(nodeid, 0, entry_seconds, attr_seconds, 0, 0, *attr)


def attributes_reply(attr_seconds: int, attr: tuple[int, ...]) -> bytes:
    """The answer to GETATTR."""
    return _ATTR_OUT.pack(attr_seconds, 0, 0, *attr)


def statx_reply(attr_seconds: int, attr: tuple[int, ...]) -> bytes:
    """The answer to STATX; the birth time is the mtime."""
    ino, size, blocks, atime, mtime, ctime, atime_ns, mtime_ns, ctime_ns, mode, nlink, uid, gid, _, blksize, _ = attr
    born = changed = (mtime, mtime_ns, 0)
    return _STATX_OUT.pack(
        attr_seconds, 0, 0, _STATX_ALL, blksize, 0, nlink, uid, gid, mode, 0, ino, size, blocks, 0,
        atime, atime_ns, 0, *born, ctime, ctime_ns, 0, *changed, 0, 0, 0, 0,
    )  # fmt: skip


def opened_reply(flags: int) -> bytes:
    """The answer to OPEN and OPENDIR where they are answered: no handle, and FOPEN_ flags."""
    return _OPEN_OUT.pack(0, flags, 0)


def statfs_reply(blocks: int, files: int, block_bytes: int, name_bytes: int) -> bytes:
    """The answer to STATFS of a file system without anything free."""
    return _STATFS_OUT.pack(blocks, 0, 0, files, 0, block_bytes, name_bytes, block_bytes)


def reply_header(unique: int, body_bytes: int, error: int = 0) -> bytes:
    """What stands before the body of a reply; error, an errno."""
    return _OUT_HEADER.pack(_OUT_HEADER.size + body_bytes, -error, unique)


# Notifications, which the file system sends unasked: enum fuse_notify_code.
_STORE, _INVAL_INODE, _RESEND = 4, 2, 7
# struct fuse_notify_store_out { uint64 nodeid, offset; uint32 size, padding }
_STORE_OUT = struct.Struct("<QQII")
# struct fuse_notify_inval_inode_out { uint64 ino; int64 off, len }
_INVAL_INODE_OUT = struct.Struct("<Qqq")


def _notification(code: int, body_bytes: int) -> bytes:
    """What stands before the body of a notification: an out header with the code in place of an errno."""
    return _OUT_HEADER.pack(_OUT_HEADER.size + body_bytes, code, 0)


def store_notification(nodeid: int, offset: int, size: int) -> bytes:
    """FUSE_NOTIFY_STORE, before the data: put it into the page cache of an inode."""
    return _notification(_STORE, _STORE_OUT.size + size) + _STORE_OUT.pack(nodeid, offset, size, 0)


def invalidation(nodeid: int) -> bytes:
    """FUSE_NOTIFY_INVAL_INODE: drop all cached data of an inode."""
    return _notification(_INVAL_INODE, _INVAL_INODE_OUT.size) + _INVAL_INODE_OUT.pack(nodeid, 0, 0)


def resend_notification() -> bytes:
    """FUSE_NOTIFY_RESEND, since Linux 6.9: put every request that was read and not answered back into the queue."""
    return _notification(_RESEND, 0)


def _unpack(layout: struct.Struct, body: memoryview) -> tuple[int, ...]:
    try:
        return layout.unpack_from(body)
    except struct.error:
        raise ProtocolError(f"a body of {len(body)} bytes, and {layout.size} are needed") from None


# struct fuse_dirent { uint64 ino, off; uint32 namelen, type; char name[] }, padded to a multiple of 8 bytes;
# struct fuse_direntplus { struct fuse_entry_out entry_out; struct fuse_dirent dirent }
DIRENT = np.dtype([("ino", "<u8"), ("off", "<u8"), ("namelen", "<u4"), ("type", "<u4")])
DIRENTPLUS = np.dtype(
    [
        *((name, "<u8") for name in ("nodeid", "generation", "entry_valid", "attr_valid")),
        *((name, "<u4") for name in ("entry_valid_nsec", "attr_valid_nsec")),
        *((f"attr_{name}", "<u8") for name in ("ino", "size", "blocks", "atime", "mtime", "ctime")),
        *(
            (name, "<u4")
            for name in (
                "atimensec", "mtimensec", "ctimensec", "mode", "nlink", "uid", "gid", "rdev", "blksize", "flags",
            )
        ),
        *((name, DIRENT[name]) for name in DIRENT.names or ()),
    ]
)  # fmt: skip
DIRENT_ALIGN_BYTES = 8
