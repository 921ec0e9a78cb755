"""The kernel's table of mounts, /proc/self/mountinfo: lines of bytes, of which other users choose many.

Each line is `NUMBER PARENT MAJOR:MINOR ROOT MOUNTPOINT FLAGS [OPTIONAL...] - TYPE SOURCE OPTIONS`. In its fields the
kernel writes a space, tab, newline, backslash and, since Linux 5.5, # as three octal digits, and every other byte as
it is, carriage returns and what is no UTF-8 included. Source: proc_pid_mountinfo(5). May be called by any thread.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

__all__ = ["FS_TYPE", "Mount", "parse_mountinfo", "read_mounts"]

FS_TYPE = "fuse.ffrfs"  # of the mounts that ffrfs makes

_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: its number, where, of which device (major:minor), type, source, and options of its file system.

    Paths are as `os.fsdecode` gives them.
    """

    number: int
    mountpoint: str
    device: str
    fs_type: str
    source: str
    options: str

    @property
    def device_number(self) -> int:
        """What `st_dev` is of the files in it."""
        return os.makedev(*map(int, self.device.split(":")))

    @property
    def connection(self) -> int:
        """Of a FUSE mount: the number of its connection, as in /sys/fs/fuse/connections."""
        return os.minor(self.device_number)

    @property
    def owner_uid(self) -> int:
        """Of a FUSE mount: who mounted it."""
        return self._value("user_id")

    @property
    def owner_gid(self) -> int:
        """Of a FUSE mount: the group of who mounted it."""
        return self._value("group_id")

    @property
    def allow_other(self) -> bool:
        """Of a FUSE mount: whether users other than the owner may look into it."""
        return "allow_other" in self.options.split(",")

    def _value(self, option: str) -> int:
        values = dict(word.partition("=")[::2] for word in self.options.split(","))
        return int(values.get(option, 0))


def read_mounts(fs_type: str | None = None) -> list[Mount]:
    """The mounts of this mount namespace in the order they were made; of one type, or all. Raises: OSError."""
    with open("/proc/self/mountinfo", "rb") as table:
        return parse_mountinfo(table.read(), fs_type)


def parse_mountinfo(table: bytes, fs_type: str | None = None) -> list[Mount]:
    """The mounts in the text of such a table; of one type, or all. A line that is not like one is passed over."""
    mounts = (_parse_line(line) for line in table.split(b"\n"))
    return [mount for mount in mounts if mount is not None and fs_type in (None, mount.fs_type)]


def _parse_line(line: bytes) -> Mount | None:
    fields, separator, rest = line.partition(b" - ")
    front, back = fields.split(b" "), rest.split(b" ")
    if not separator or len(front) < 6 or len(back) < 3:
        return None
    return Mount(
        number=int(front[0]),
        mountpoint=_unescape(front[4]),
        device=front[2].decode("ascii"),
        fs_type=_unescape(back[0]),
        source=_unescape(back[1]),
        options=_unescape(b" ".join(back[2:])),
    )


def _unescape(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field))
