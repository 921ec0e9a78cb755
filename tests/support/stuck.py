"""`ffrfs` in which workers do not answer READs of one file, in a way that the environment names.

FFRFS_TEST_STUCK=NAME FFRFS_TEST_WAY=WAY python -m tests.support.stuck mount ARCHIVE MOUNTPOINT …

WAY is `loop` or `lock`, in which the receiving thread hangs; `lose`, in which the request is forgotten; or the path of
a file that is not there, and is when a request was forgotten once.
"""

from __future__ import annotations

import os
import sys
import threading

from ffrfs.cli import main
from ffrfs.daemon import hangs
from ffrfs.fs.content import Content
from ffrfs.fs.server import Server

_STUCK, _WAY = os.environb[b"FFRFS_TEST_STUCK"], os.environ["FFRFS_TEST_WAY"]


def loses_now() -> bool:
    """Whether this request is to be forgotten."""
    if _WAY == "lose":
        return True
    try:
        os.close(os.open(_WAY, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def hanging(read_cached):
    """A method of the receiving thread that reads, but for one file."""

    def hang_or_read(content, inode, *arguments):
        if content._index.name(inode) == _STUCK:
            if _WAY == "lock":
                threading.Event().wait()
            while True:
                pass
        return read_cached(content, inode, *arguments)

    return hang_or_read


def losing(read):
    """A handler that answers, but for one file."""

    def lose_or_read(server, unique, nodeid, *arguments):
        if nodeid <= server._inodes and server._index.name(nodeid) == _STUCK and loses_now():
            return
        read(server, unique, nodeid, *arguments)

    return lose_or_read


if __name__ == "__main__":
    if _WAY in ("loop", "lock"):
        Content.read_cached = hanging(Content.read_cached)
    else:
        Server._read = losing(Server._read)
        hangs._LOOK_SECONDS = 0.25
    sys.exit(main())
