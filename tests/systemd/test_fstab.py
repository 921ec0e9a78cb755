"""Mounts from /etc/fstab by mount(8) and its helper: by hand, at boot, and on first access."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.node import FFRFS, Node
from tests.systemd.served import LARGE_FILE, PACKED_FILES, assert_serves, is_mounted


@pytest.fixture
def mountpoint(node: Node) -> Iterator[str]:
    """A folder to mount on, unmounted at the end."""
    node.run("mkdir", "--parents", "/mnt/byhand")
    yield "/mnt/byhand"
    node.run("umount", "--lazy", "/mnt/byhand", check=False)


def processes_of(node: Node, mountpoint: str) -> str:
    return node.run("pgrep", "--full", mountpoint, check=False).stdout


@pytest.mark.parametrize("fs_type", ["ffrfs", "fuse.ffrfs"])
def test_mount_and_umount_by_hand(node: Node, mountpoint: str, fs_type: str) -> None:
    node.run("mount", "-t", fs_type, "/data/coco.ffr", mountpoint, "-o", "allow_other,umask=027,nofail,noauto,x-a.b=c")
    assert_serves(node, mountpoint)
    assert node.path(mountpoint).stat().st_mode & 0o777 == 0o550
    node.run("umount", mountpoint)
    node.wait_for(lambda: processes_of(node, mountpoint) == "", "the daemon has ended")


def test_a_fake_mount_checks_and_mounts_nothing(node: Node, mountpoint: str) -> None:
    node.run("mount", "--fake", "--verbose", "-t", "ffrfs", "/data/coco.ffr", mountpoint)
    assert not is_mounted(node, mountpoint)


@pytest.mark.parametrize(
    ("source", "options", "status", "reason"),
    [
        ("/data/coco.ffr", "alow_other", 1, "did you mean 'allow_other'?"),
        ("/data/coco.ffr", "uid=ada", 1, "uid"),
        ("/data/cocoa.ffr", "rw", 32, "/data/cocoa.ffr"),
        ("/etc/fstab", "rw", 32, "/etc/fstab"),
    ],
)
def test_what_cannot_be_mounted_is_one_line(
    node: Node, mountpoint: str, source: str, options: str, status: int, reason: str
) -> None:
    done = node.run("mount", "-t", "ffrfs", source, mountpoint, "-o", options, check=False)
    assert done.returncode == status
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not is_mounted(node, mountpoint)


def test_sloppy_mounts_leave_out_options_that_nobody_knows(node: Node, mountpoint: str) -> None:
    node.run("mount", "-s", "-t", "ffrfs", "/data/coco.ffr", mountpoint, "-o", "alow_other")
    assert_serves(node, mountpoint)


@pytest.fixture
def fstab(node: Node) -> Iterator[Path]:
    """The node's /etc/fstab, empty again at the end, so that later boots are not held up by it."""
    yield node.path("/etc/fstab")
    node.path("/etc/fstab").write_text("")


@pytest.fixture
def ada(node: Node) -> Iterator[tuple[str, ...]]:
    """What runs a command as the ordinary user ada, whom /dev/fuse is open to, as distributions have it."""
    node.run("sh", "-c", "umount --lazy /dev/fuse; rm -f /dev/fuse; mknod --mode=666 /dev/fuse c 10 229")
    node.run("useradd", "--create-home", "ada")
    yield ("setpriv", "--reuid=ada", "--regid=ada", "--init-groups", "env", "HOME=/home/ada")
    node.run("userdel", "--remove", "ada", check=False)


def test_an_ordinary_user_mounts_and_unmounts_what_fstab_lets_users_mount(
    node: Node, ada: tuple[str, ...], fstab: Path
) -> None:
    fstab.write_text("/data/coco.ffr /mnt/users ffrfs noauto,user 0 0\n")
    node.run("mkdir", "/mnt/users")
    node.run("chown", "ada", "/mnt/users")
    node.run(*ada, "mount", "/mnt/users")
    assert PACKED_FILES[LARGE_FILE] in node.run(*ada, "sha256sum", f"/mnt/users/{LARGE_FILE}").stdout
    assert "Permission denied" in node.run("ls", "/mnt/users", check=False).stderr  # not even root, without allow_other
    node.run(*ada, "umount", "/mnt/users")
    node.wait_for(lambda: processes_of(node, "/mnt/users") == "", "the daemon has ended")


def test_everything_is_there_again_after_a_boot(node: Node, fstab: Path) -> None:
    fstab.write_text(
        "/data/coco.ffr /mnt/at-boot ffrfs allow_other 0 0\n"
        "/data/coco.ffr /mnt/on-access fuse.ffrfs noauto,x-systemd.automount,x-systemd.idle-timeout=2 0 0\n"
        "/data/absent.ffr /mnt/absent ffrfs nofail 0 0\n"
    )
    node.path("/etc/ffrfs/enabled.toml").write_text('archive = "/data/coco.ffr"\nmountpoint = "/mnt/enabled"\n')
    node.run("mkdir", "--parents", "/mnt/enabled")
    node.run(FFRFS, "install-systemd", "enabled")
    node.run("systemctl", "enable", "ffrfs@enabled")
    node.power_off()
    node.boot()

    assert_serves(node, "/mnt/at-boot")
    assert_serves(node, "/mnt/enabled")
    assert node.show("mnt-absent.mount", "ActiveState")["ActiveState"] == "failed"
    assert "/data/absent.ffr" in node.journal("--unit", "mnt-absent.mount")

    assert not is_mounted(node, "/mnt/on-access")
    assert node.show("mnt-on\\x2daccess.automount", "ActiveState")["ActiveState"] == "active"
    node.run("ls", "/mnt/on-access/sizes")
    assert_serves(node, "/mnt/on-access")
    node.wait_for(lambda: not is_mounted(node, "/mnt/on-access"), "an idle automount goes")
    node.run("ls", "/mnt/on-access/sizes")
    assert_serves(node, "/mnt/on-access")

    node.run("systemctl", "disable", "ffrfs@enabled")
    node.power_off()
    node.boot()
    last_boot = node.run("journalctl", "--boot=-1", "--no-pager").stdout
    assert "ffrfs@enabled.service: Deactivated successfully." in last_boot
    assert "Failed unmounting /mnt" not in last_boot
