"""Which options of an fstab line are meant for ffrfs."""

from __future__ import annotations

import pytest

from ffrfs.errors import ConfigError
from ffrfs.mount.fstab import read_options
from ffrfs.mount.options import MountOptions


@pytest.mark.parametrize(
    "words",
    [
        "defaults", "rw", "auto", "noauto", "nofail", "_netdev", "user", "users", "nouser", "owner", "group",
        "relatime", "nodiratime", "x-systemd.automount", "x-systemd.requires-mounts-for=/data", "X-mount.mkdir",
        "comment=training data", "user=ada", "ro", "",
    ],
)  # fmt: skip
def test_options_of_mount_and_systemd_are_passed_over(words: str) -> None:
    expected = MountOptions(allow_other=True, uid=1000)
    assert read_options((f"allow_other,{words},uid=1000",), sloppy=False) == expected


@pytest.mark.parametrize("flag", ["exec", "noexec", "suid", "nosuid", "dev", "nodev", "noatime", "sync", "async"])
def test_flags_of_the_kernel_are_kept(flag: str) -> None:
    assert read_options((flag,), sloppy=False) == MountOptions(kernel=(flag,))


def test_later_options_win() -> None:
    assert read_options(("uid=1,gid=3", "uid=2"), sloppy=False) == MountOptions(uid=2, gid=3)


def test_options_that_do_not_exist_are_refused_unless_sloppy() -> None:
    with pytest.raises(ConfigError, match="alow_other"):
        read_options(("alow_other,uid=7",), sloppy=False)
    assert read_options(("alow_other,uid=7",), sloppy=True) == MountOptions(uid=7)
