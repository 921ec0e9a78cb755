"""FUSE_INIT, as the bytes that kernels send and the bytes that they get."""

import socket
import struct

import pytest

from ffrfs.errors import MountError

pytest.importorskip("pyfuse3", reason="pyfuse3 is not installed")

from ffrfs.daemon import session
from ffrfs.fuse.channel import BUFFER_BYTES, MAX_WRITE_BYTES

ALL = (1 << 32) - 1


def answer(minor, flags, major=7, flags2=0):
    """What is offered as ffrfs understands it, and the reply's errno and body."""
    body = struct.pack("<IIIII44x", major, minor, 131072, flags, flags2)
    body = body if minor >= 36 else body[:16]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(struct.pack("<IIQQIIIHH", 40 + len(body), 26, 2, 0, 0, 0, 0, 0, 0) + body)
        try:
            offered = session._answer_init(theirs.fileno())
        finally:
            reply = ours.recv(4096)
    size, error, unique = struct.unpack_from("<IiQ", reply)
    assert (size, unique) == (len(reply), 2)
    return offered, -error, reply[16:]


def test_a_kernel_of_today():
    offered, error, body = answer(45, ALL, flags2=1 << 7)
    assert offered.flags == ALL | 1 << 39
    assert (error, len(body)) == (0, 64)
    major, minor, max_readahead, flags, background, congestion, max_write, gran, pages = struct.unpack_from(
        "<IIIIHHIIH", body
    )
    assert (major, minor, max_readahead) == (7, 38, 131072)
    assert (background, congestion, max_write, gran, pages) == (128, 96, MAX_WRITE_BYTES, 1, 256)
    assert flags == sum(1 << bit for bit in (0, 4, 12, 13, 15, 18, 22, 30))
    assert BUFFER_BYTES >= MAX_WRITE_BYTES + 4096


def test_nothing_is_answered_that_was_not_offered():
    offered, _, body = answer(31, 1 << 0 | 1 << 12)
    assert offered.flags == 1 << 0 | 1 << 12
    assert struct.unpack_from("<IIII", body) == (7, 31, 131072, 1 << 0 | 1 << 12)


@pytest.mark.parametrize(("major", "minor"), [(7, 22), (6, 40), (8, 0)])
def test_a_kernel_that_cannot_be_served(major, minor):
    with pytest.raises(MountError, match=r"Linux 3\.16 or newer is needed"):
        answer(minor, ALL, major)
