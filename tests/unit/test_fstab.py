"""Which options of an fstab line are meant for ffrfs."""

from __future__ import annotations

import pytest

from ffrfs.daemon.fstab import own_options


@pytest.mark.parametrize(
    "words",
    [
        "defaults", "rw", "auto", "noauto", "nofail", "_netdev", "user", "users", "nouser", "owner", "group",
        "exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async", "relatime", "noatime",
        "x-systemd.automount", "x-systemd.requires-mounts-for=/data", "X-mount.mkdir", "comment=training data",
        "user=ada", "",
    ],
)  # fmt: skip
def test_options_of_mount_and_systemd_are_left_out(words: str) -> None:
    assert list(own_options((f"allow_other,{words},uid=1000",))) == ["allow_other", "uid=1000"]


def test_lists_are_read_in_order() -> None:
    assert list(own_options(("ro,nofail,uid=1", "uid=2"))) == ["ro", "uid=1", "uid=2"]


def test_what_nobody_knows_is_left_to_be_refused() -> None:
    assert list(own_options(("alow_other,userland=1,nofailed",))) == ["alow_other", "userland=1", "nofailed"]
