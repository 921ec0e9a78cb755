"""The kernel's table of mounts, whatever other users have put into it."""

import os

import pytest

from ffrfs.linux.mountinfo import parse_mountinfo, read_mounts

OURS = b"70 31 0:52 / /mnt/coco ro,nosuid - fuse.ffrfs /data/coco.ffr ro,user_id=1000,group_id=100,allow_other\n"


def line(mountpoint, source=b"tmpfs", optional=b"", kind=b"tmpfs", options=b"rw"):
    return b"71 31 0:53 / %s rw %s- %s %s %s\n" % (mountpoint, optional, kind, source, options)


def test_a_mount():
    (mount,) = parse_mountinfo(OURS)
    assert (mount.number, mount.mountpoint, mount.device) == (70, "/mnt/coco", "0:52")
    assert (mount.fs_type, mount.source) == ("fuse.ffrfs", "/data/coco.ffr")
    assert (mount.connection, mount.device_number) == (52, os.makedev(0, 52))
    assert (mount.owner_uid, mount.owner_gid, mount.allow_other) == (1000, 100, True)


def test_only_one_type():
    assert [mount.number for mount in parse_mountinfo(line(b"/a") + OURS + line(b"/b"), "fuse.ffrfs")] == [70]


ODD = [b"\r", b"\v", b"\f", b"\x1c", b"\x85", b"\xe2\x80\xa8", b"\xff", b"-", "数据".encode()]


@pytest.mark.parametrize("odd", ODD)
def test_bytes_that_the_kernel_leaves_as_they_are(odd):
    for theirs in (line(b"/a" + odd), line(b"/a", source=odd), line(b"/a", options=b"rw,x=" + odd)):
        found = parse_mountinfo(theirs + OURS)
        assert [mount.mountpoint for mount in found[1:]] == ["/mnt/coco"]
        assert odd in os.fsencode(found[0].mountpoint + found[0].source + found[0].options)


@pytest.mark.parametrize("character", [" ", "\t", "\n", "\\", "#"])
def test_bytes_that_the_kernel_escapes(character):
    escaped = b"\\%03o" % ord(character)
    (mount,) = parse_mountinfo(line(b"/a" + escaped + b"b", source=b"c" + escaped))
    assert (mount.mountpoint, mount.source) == (f"/a{character}b", f"c{character}")


def test_an_escaped_backslash_before_digits_is_no_escape():
    (mount,) = parse_mountinfo(line(rb"/a\134040b"))
    assert mount.mountpoint == r"/a\040b"


def test_optional_fields_and_an_empty_source():
    (mount,) = parse_mountinfo(line(b"/a", source=b"", optional=b"shared:1 master:2 propagate_from:3 "))
    assert (mount.mountpoint, mount.source, mount.options) == ("/a", "", "rw")


def test_what_is_no_line_is_passed_over():
    assert [mount.number for mount in parse_mountinfo(b"\n71 31 0:53 /\n- - -\n" + OURS)] == [70]


def test_the_table_of_this_machine():
    assert any(mount.mountpoint == "/proc" and mount.fs_type == "proc" for mount in read_mounts())
