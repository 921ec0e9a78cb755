"""Every request of FUSE, as the bytes that the kernel sends and the bytes that it gets. No mount."""

import errno
import json
import random
import stat
import struct

import pytest

from ffrfs.fs.state import FIRST_MARK, READ, UNREAD
from ffrfs.hints import encode_hints
from tests.support.kernel import MTIME_NS, TREE

LOOKUP, FORGET, GETATTR, OPEN, READ_OP, STATFS, RELEASE = 1, 2, 3, 14, 15, 17, 18
OPENDIR, READDIR, RELEASEDIR, INTERRUPT, DESTROY = 27, 28, 29, 36, 38
NOTIFY_REPLY, BATCH_FORGET, READDIRPLUS, STATX, WRITE = 41, 42, 44, 52, 16
ENTRY = struct.Struct("<QQQQII")
ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
FOREVER = 10**9
CHANGES = (4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51)
NO_REPLY = (FORGET, NOTIFY_REPLY, BATCH_FORGET)


def read_in(offset, size):
    return struct.pack("<QQIIQII", 0, offset, size, 0, 0, 0, 0)


def attributes(body):
    ino, size, blocks, *rest = ATTR.unpack(body)
    *times, mode, nlink, uid, gid, rdev, blksize, flags = rest
    return {"ino": ino, "size": size, "blocks": blocks, "times": times, "mode": mode, "nlink": nlink, "uid": uid,
            "gid": gid, "rdev": rdev, "blksize": blksize, "flags": flags}  # fmt: skip


def test_lookup_answers_an_entry_for_ever(kernel):
    error, body = kernel.ask(LOOKUP, 1, b"a\0")
    nodeid, generation, entry_valid, attr_valid, *_ = ENTRY.unpack_from(body)
    assert (error, len(body)) == (0, 128)
    assert (nodeid, generation, entry_valid, attr_valid) == (kernel.inode(b"a"), 0, FOREVER, FOREVER)
    seconds, ns = divmod(MTIME_NS, 10**9)
    assert attributes(body[40:]) == {
        "ino": nodeid, "size": 13, "blocks": 1, "times": [seconds] * 3 + [ns] * 3, "mode": stat.S_IFREG | 0o444,
        "nlink": 1, "uid": 1000, "gid": 1001, "rdev": 0, "blksize": 4096, "flags": 0,
    }  # fmt: skip


def test_lookup_of_a_folder_and_of_the_dots(kernel):
    folder = kernel.inode(b"d")
    _, body = kernel.ask(LOOKUP, 1, b"d\0")
    found = attributes(body[40:])
    assert (found["ino"], found["mode"], found["nlink"]) == (folder, stat.S_IFDIR | 0o555, 3)
    assert ENTRY.unpack_from(kernel.ask(LOOKUP, folder, b".\0")[1])[0] == folder
    assert ENTRY.unpack_from(kernel.ask(LOOKUP, folder, b"..\0")[1])[0] == 1
    assert ENTRY.unpack_from(kernel.ask(LOOKUP, 1, b"..\0")[1])[0] == 1


def test_lookup_of_what_is_not_there_is_a_negative_entry(kernel):
    error, body = kernel.ask(LOOKUP, 1, b"nothing\0")
    assert error == 0
    assert ENTRY.unpack_from(body)[:4] == (0, 0, FOREVER, 0)
    assert kernel.ask(LOOKUP, 1, b"n" * 256 + b"\0")[0] == errno.ENAMETOOLONG


def test_a_hint_is_no_negative_entry_and_reaches_the_prefetcher(kernel):
    (name,) = encode_hints([2, 3])
    assert kernel.ask(LOOKUP, 1, name + b"\0", uid=1234)[0] == errno.ENOENT
    kind, numbers = next(kernel.packets.receive())
    assert (kind, numbers) == (0, [1234, 2, 3])


@pytest.mark.parametrize("name", ["a", "d"])
def test_getattr_and_statx_agree(kernel, name):
    inode = kernel.inode(name.encode())
    error, body = kernel.ask(GETATTR, inode, bytes(16))
    assert (error, len(body), struct.unpack_from("<QII", body)) == (0, 104, (FOREVER, 0, 0))
    found = attributes(body[16:])
    error, body = kernel.ask(STATX, inode, bytes(24))
    assert (error, len(body)) == (0, 288)
    valid, _, _, mask, blksize, _, nlink, uid, gid, mode = struct.unpack_from("<QII16xIIQIIIH", body)
    ino, size, blocks = struct.unpack_from("<QQQ", body, 32 + 32)
    assert (valid, mask) == (FOREVER, 0xFFF)
    assert (ino, size, blocks, blksize, nlink, uid, gid, mode) == tuple(
        found[key] for key in ("ino", "size", "blocks", "blksize", "nlink", "uid", "gid", "mode")
    )
    seconds, ns = divmod(MTIME_NS, 10**9)
    for at in range(4):  # atime, btime, ctime, mtime
        assert struct.unpack_from("<qI", body, 32 + 64 + 16 * at) == (seconds, ns)


@pytest.mark.parametrize(("offset", "size"), [(0, 4096), (0, 131072), (3, 5), (10_000, 300), (10_240, 1), (1 << 40, 9)])
def test_read(kernel, offset, size):
    inode = kernel.inode(b"b")
    assert kernel.ask(READ_OP, inode, read_in(offset, size)) == (0, TREE[b"b"][offset : offset + size])


def test_a_read_that_waits_is_answered_by_a_thread(kernel, monkeypatch):
    monkeypatch.setattr(kernel.server._content, "read_cached", lambda *_: None)
    inodes = [kernel.inode(b"a"), kernel.inode(b"b")] * 100
    sent = {kernel.send(READ_OP, inode, read_in(0, 20_000)): inode for inode in inodes}
    while sent:
        unique, error, body = kernel.received()
        assert error == 0
        assert body == TREE[b"a" if sent.pop(unique) == kernel.inode(b"a") else b"b"]
    assert kernel.received(0) is None


def test_a_read_tells_what_was_read_ahead(kernel):
    inode, other = kernel.inode(b"a"), kernel.inode(b"b")
    kernel.state.pages[inode] = FIRST_MARK + 3
    for _ in range(2):
        kernel.ask(READ_OP, inode, read_in(0, 20))
    assert kernel.state.pages[inode] == READ
    assert kernel.state.passed_marks(3) == 1
    kernel.state.pages[other] = FIRST_MARK + 3
    kernel.send(FORGET, other, struct.pack("<Q", 1))
    assert kernel.state.pages[other] == UNREAD
    assert kernel.state.passed_marks(3) == 2
    assert kernel.state.totals()["prefetch_hits"] == 1, "one of them was not read"


def entries(body, plus):
    """Name, inode, position, type and attributes of each entry."""
    at = 0
    while at < len(body):
        attr = attributes(body[at + 40 : at + 128]) if plus else None
        nodeid = struct.unpack_from("<Q", body, at)[0] if plus else None
        at += 128 if plus else 0
        ino, off, namelen, kind = struct.unpack_from("<QQII", body, at)
        name = body[at + 24 : at + 24 + namelen]
        at += 24 + namelen + -namelen % 8
        yield name, ino, off, kind, nodeid, attr
    assert at == len(body)


def listing(kernel, opcode, inode, size):
    position, found = 0, []
    while True:
        error, body = kernel.ask(opcode, inode, read_in(position, size))
        assert error == 0 and len(body) <= size
        if not body:
            return found
        found += entries(body, opcode == READDIRPLUS)
        position = found[-1][2]


@pytest.mark.parametrize("opcode", [READDIR, READDIRPLUS])
@pytest.mark.parametrize("size", [4096, 32768, 1 << 20])
def test_a_listing_has_every_name_once_and_what_lookup_says(kernel, opcode, size):
    inode = kernel.inode(b"d", b"many")
    found = listing(kernel, opcode, inode, size)
    assert [entry[0] for entry in found] == [b".", b"..", *sorted(TREE[b"d"][b"many"])]
    assert [entry[2] for entry in found] == list(range(1, len(found) + 1))
    assert [entry[1] for entry in found[:2]] == [inode, kernel.inode(b"d")]
    for name, ino, _, kind, nodeid, attr in random.Random(size).sample(found[2:], 50):
        assert (ino, kind) == (kernel.inode(b"d", b"many", name), 8)
        if opcode == READDIRPLUS:
            _, body = kernel.ask(LOOKUP, inode, name + b"\0")
            assert (nodeid, attr) == (ino, attributes(body[40:]))


def test_a_listing_of_the_root(kernel):
    found = listing(kernel, READDIRPLUS, 1, 4096)
    assert [(name, kind) for name, _, _, kind, _, _ in found] == [
        (b".", 4), (b"..", 4), (b"a", 8), (b"b", 8), (b"d", 4), (b"z" * 255, 8),
    ]  # fmt: skip
    assert [entry[4] for entry in found[:2]] == [0, 0], "no inodes for the dots"
    assert found[4][5]["nlink"] == 3


def test_a_listing_can_go_on_anywhere(kernel):
    inode = kernel.inode(b"d", b"many")
    names = [b".", b"..", *sorted(TREE[b"d"][b"many"])]
    for position in (0, 1, 2, 3, 2047, 2048, 2049, 3001, 3002, 3003, 1 << 40, (1 << 64) - 1):
        _, body = kernel.ask(READDIRPLUS, inode, read_in(position, 4096))
        found = [entry[0] for entry in entries(body, True)]
        assert found == names[position : position + len(found)]
        assert bool(found) == (position < len(names))


def test_open_is_left_to_the_kernel(kernel, old_kernel):
    assert kernel.ask(OPEN, kernel.inode(b"a"), struct.pack("<II", 0, 0)) == (errno.ENOSYS, b"")
    assert kernel.ask(OPEN, kernel.inode(b"a"), struct.pack("<II", 1, 0)) == (errno.EROFS, b"")
    assert kernel.ask(OPENDIR, 1, bytes(8)) == (errno.ENOSYS, b"")
    error, body = old_kernel.ask(OPENDIR, 1, bytes(8))
    assert (error, struct.unpack("<QIi", body)) == (0, (0, 2 | 8, 0))
    assert old_kernel.ask(RELEASEDIR, 1, bytes(24)) == (0, b"")


def test_statfs(kernel):
    error, body = kernel.ask(STATFS)
    files = 5 + 3000
    blocks = -(-sum(len(kernel.shards.read(*kernel.index.records.extent(r))) for r in range(files - 1)) // 4096)
    assert error == 0
    assert struct.unpack("<QQQQQIII28x", body)[1:5] == (0, 0, len(kernel.index), 0)
    assert struct.unpack("<QQQQQIII28x", body)[5:] == (4096, 255, 4096)
    assert struct.unpack_from("<Q", body)[0] <= blocks


def test_what_has_no_reply_gets_none(kernel):
    kernel.send(FORGET, 2, struct.pack("<Q", 1))
    kernel.send(BATCH_FORGET, 0, struct.pack("<II", 3, 0) + struct.pack("<QQQQQQ", 2, 1, 3, 1, 1 << 48, 5))
    kernel.send(NOTIFY_REPLY, 2, bytes(40))
    kernel.send(BATCH_FORGET, 0, struct.pack("<II", 1 << 31, 0))
    kernel.send(FORGET, 1 << 63, struct.pack("<Q", 1))
    assert kernel.received(0) is None
    assert kernel.state.totals()["forgets"] == 5


def test_interrupt_is_declined(kernel):
    assert kernel.ask(INTERRUPT, 0, struct.pack("<Q", 77)) == (errno.ENOSYS, b"")


@pytest.mark.parametrize("opcode", sorted(set(CHANGES) - {WRITE}))
def test_what_changes_is_refused(kernel, opcode):
    assert kernel.ask(opcode, kernel.inode(b"a"), bytes(64)) == (errno.EROFS, b"")


def test_a_write_is_refused_and_its_page_dropped(kernel):
    """Which only comes after `mount -o remount,rw`."""
    inode = kernel.inode(b"a")
    unique = kernel.send(WRITE, inode, bytes(40) + b"changed")
    answers = [kernel.received(), kernel.received()]
    assert (unique, errno.EROFS, b"") in answers
    notification = next(answer for answer in answers if answer[0] == 0)
    assert notification[1] == -2  # FUSE_NOTIFY_INVAL_INODE
    assert struct.unpack("<Qqq", notification[2]) == (inode, 0, 0)


def test_the_hidden_folder(kernel):
    _, body = kernel.ask(LOOKUP, 1, b".ffrfs\0")
    folder, _, entry_valid, attr_valid, *_ = ENTRY.unpack_from(body)
    assert (entry_valid, attr_valid) == (FOREVER, 0)
    _, body = kernel.ask(LOOKUP, folder, b"stats\0")
    inode = ENTRY.unpack_from(body)[0]
    times = [attributes(kernel.ask(GETATTR, inode, bytes(16))[1][16:])["times"] for _ in range(3)]
    assert len({tuple(time) for time in times}) == 3, "a new mtime each time"
    size = attributes(body[40:])["size"]
    _, text = kernel.ask(READ_OP, inode, read_in(0, 1 << 17))
    assert len(text) == size
    assert json.loads(text)["counters"]["lookups"] == 2
    assert kernel.ask(READDIRPLUS, folder, read_in(0, 4096)) == (0, b"")
    assert ENTRY.unpack_from(kernel.ask(LOOKUP, inode, b"..\0")[1])[0] == folder
    assert ENTRY.unpack_from(kernel.ask(LOOKUP, folder, b"..\0")[1])[0] == 1


@pytest.mark.parametrize("opcode", [GETATTR, STATX, READ_OP, READDIR, READDIRPLUS, LOOKUP])
@pytest.mark.parametrize("inode", [0, 10**6, 1 << 48, (1 << 48) + 7, (1 << 64) - 1])
def test_inodes_that_are_not_there(kernel, opcode, inode):
    """Also those of a file handle from another archive."""
    body = b".\0" if opcode == LOOKUP else read_in(0, 4096) + bytes(8)
    error, _ = kernel.ask(opcode, inode, body)
    assert error in (0, errno.ESTALE)
    assert kernel.state.totals()["internal_errors"] == 0


def test_what_is_of_the_wrong_kind(kernel):
    assert kernel.ask(READ_OP, 1, read_in(0, 4096))[0] == errno.EISDIR
    assert kernel.ask(READDIR, kernel.inode(b"a"), read_in(0, 4096))[0] == errno.ENOTDIR
    _, body = kernel.ask(LOOKUP, kernel.inode(b"a"), b"below\0")
    assert ENTRY.unpack_from(body)[0] == 0


@pytest.mark.parametrize("opcode", range(60))
def test_a_truncated_request_is_an_errno(kernel, opcode):
    numbers = random.Random(opcode)
    for size in (*range(16), 40, 100):
        body = numbers.randbytes(size)
        kernel.send(opcode, numbers.choice([0, 1, 2, 1 << 48, 1 << 63]), body)
    answers = []
    while (answer := kernel.received(0.05)) is not None:
        answers.append(answer)
    replies = [answer for answer in answers if answer[0]]
    assert len(replies) == (0 if opcode in NO_REPLY else 18)
    assert kernel.state.totals()["internal_errors"] == 0


def test_a_request_whose_header_is_wrong_is_passed_over(kernel, caplog):
    for request in (b"", b"short", bytes(39), struct.pack("<IIQQIIIHH", 41, 1, 2, 1, 0, 0, 0, 0, 0)):
        kernel.server.answer(memoryview(request))
    assert kernel.received(0) is None
    assert len(caplog.records) == 4
