"""A server of a small archive, without a kernel: requests are given to it as bytes, its replies are read as bytes."""

import errno
import os
import socket
import struct

from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.fs.changes import ChangeWatch
from ffrfs.fs.content import Content
from ffrfs.fs.options import TreeOptions
from ffrfs.fs.prefetch.announcer import Announcer
from ffrfs.fs.prefetch.packets import Packets
from ffrfs.fs.server import Server
from ffrfs.fs.state import SharedState
from ffrfs.fs.statistics import StatisticsFolder
from ffrfs.fuse.channel import Channel

MTIME_NS = 1_700_000_000_123_456_789
TREE = {
    b"a": b"contents of a",
    b"b": bytes(range(256)) * 40,
    b"d": {b"x\xff": b"", b"many": {b"%04d" % number: b"%d" % number for number in range(3000)}},
    b"z" * 255: b"last",
}


WITHOUT_REPLY = (2, 41, 42)  # FORGET, NOTIFY_REPLY, BATCH_FORGET


def right_requests():
    """One of each kind that is answered."""
    bodies = {1: b"a\0", 3: bytes(16), 14: bytes(8), 15: struct.pack("<QQIIQII", 0, 0, 4096, 0, 0, 0, 0), 52: bytes(24)}
    bodies |= {27: bytes(8), 28: bodies[15], 44: bodies[15], 2: bytes(8), 42: struct.pack("<IIQQ", 1, 0, 2, 1)}
    for opcode in (*bodies, 4, 17, 18, 29, 36, 38):
        body = bodies.get(opcode, bytes(40))
        for inode in (1, 2):
            yield struct.pack("<IIQQIIIHH", 40 + len(body), opcode, 2 * opcode, inode, 0, 0, 1, 0, 0) + body


class Kernel:
    """The other end. Attributes: server, index, state."""

    def __init__(self, archive, opendir_errno=errno.ENOSYS):
        self.shards = Shards(archive)
        self.index = build(self.shards)
        self.state = SharedState(2, len(self.index.records), len(self.index), self.index.directories)
        content = Content(self.shards, self.index, self.state, ChangeWatch(self.shards))
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self._theirs = theirs
        self.packets = Packets()
        self.server = Server(
            self.index,
            content,
            TreeOptions(1000, 1001, 0o022, MTIME_NS),
            self.state,
            (0, 1),
            StatisticsFolder(self.state, "a.ffr", "/mnt", 1, self.index.files),
            Announcer(self.index, self.state, self.packets),
            Channel(theirs.fileno()),
            None,
            opendir_errno,
        )
        self._unique = 2

    def inode(self, *names):
        inode = 1
        for name in names:
            inode = self.index.lookup(inode, name)
        return inode

    def send(self, opcode, nodeid=1, body=b"", uid=0):
        """Give a request to the server; returns its number."""
        self._unique += 2
        header = struct.pack("<IIQQIIIHH", 40 + len(body), opcode, self._unique, nodeid, uid, 0, 1, 0, 0)
        self.server.answer(memoryview(header + body))
        return self._unique

    def received(self, seconds=10.0):
        """The next reply: its number, errno and body; None if there is none."""
        self._ours.settimeout(seconds)  # 0: what is there
        try:
            reply = self._ours.recv(1 << 21)
        except (TimeoutError, BlockingIOError):
            return None
        size, error, unique = struct.unpack_from("<IiQ", reply)
        assert size == len(reply)
        return unique, -error, reply[16:]

    def answers(self, request, seconds=0):
        """All replies to a request given as bytes, no notifications. Args: seconds, how long the first may take."""
        self.server.answer(memoryview(request))
        replies = []
        while (answer := self.received(0 if replies else seconds)) is not None:
            if answer[0]:
                replies.append(answer)
        return replies

    def ask(self, opcode, nodeid=1, body=b"", uid=0):
        """The errno and body of the reply."""
        unique = self.send(opcode, nodeid, body, uid)
        number, error, body = self.received()
        assert number == unique
        assert self.received(0) is None, "one reply"
        return error, body

    def close(self):
        self._ours.close()
        self._theirs.close()
        self.shards.close()
        for fd in (self.packets._reader, self.packets._writer):
            os.close(fd)
