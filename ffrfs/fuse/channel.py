"""A descriptor of /dev/fuse: receiving requests, replying, and notifying the kernel.

May be used from several threads: a request and a reply are one system call each, which gives the GIL back while it
waits.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from ffrfs.fuse.wire import invalidation, reply_header, resend_notification, store_notification

__all__ = ["BUFFER_BYTES", "DEVICE", "MAX_WRITE_BYTES", "Channel", "SessionEnded", "clone"]

DEVICE = "/dev/fuse"
MAX_WRITE_BYTES = 4096  # the least that may be agreed on: nothing is written
# The kernel wants room for a WRITE. More lets it forget more inodes by one request.
BUFFER_BYTES = 1 << 17

_CLONE = 0x8004E500  # FUSE_DEV_IOC_CLONE, _IOR(229, 0, uint32_t)
_TAKEN_BACK = (errno.ENOENT, errno.EINTR, errno.EAGAIN)  # a request whose reader has gone; a signal; another was faster


class SessionEnded(Exception):
    """The mount was unmounted, or its connection aborted."""


class Channel:
    """Args: fd, a descriptor of a mounted session, or a clone of one."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def receive(self, buffer: memoryview) -> int:
        """Wait for a request. Args: buffer, of `BUFFER_BYTES`. Returns: the request's size in bytes.

        Raises: SessionEnded.
        """
        while True:
            try:
                size = os.readv(self.fd, (buffer,))
            except OSError as error:
                if error.errno in _TAKEN_BACK:
                    continue
                if error.errno == errno.ENODEV:
                    raise SessionEnded from None
                raise
            if size == 0:
                raise SessionEnded
            return size

    def reply(self, unique: int, body: bytes | bytearray | memoryview = b"", error: int = 0) -> bool:
        """Answer a request. Returns: whether the kernel still waited for the answer, under this number."""
        try:
            os.writev(self.fd, (reply_header(unique, len(body), error), body))
        except FileNotFoundError:
            return False
        except OSError as problem:
            if problem.errno != errno.ENODEV:  # the receiving thread learns that the session has ended
                raise
        return True

    def store(self, inode: int, data: memoryview) -> None:
        """Put data into the kernel's page cache of a file, from its beginning.

        Waits for the lock of each page. A page that is being read is locked until the READ is answered, so a process
        that answers requests must not call this. Raises: OSError: ENOENT if the kernel does not know the inode, ENOMEM.
        """
        os.writev(self.fd, (store_notification(inode, 0, len(data)), data))

    def invalidate(self, inode: int) -> None:
        """Have the kernel drop all data of a file. Waits as `store`. Raises: OSError."""
        os.write(self.fd, invalidation(inode))

    def resend(self) -> None:
        """Have the kernel send again each request that was received and not answered, through this descriptor or a
        clone. Raises: OSError: EINVAL before Linux 6.9."""
        os.write(self.fd, resend_notification())


def clone(session_fd: int) -> int:
    """A new descriptor of the same session: what was received by it fails when it is closed. Raises: OSError."""
    fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _CLONE, struct.pack("I", session_fd))
    except OSError:
        os.close(fd)
        raise
    return fd
