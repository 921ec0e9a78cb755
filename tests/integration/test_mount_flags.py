"""The long flags of `ffrfs mount` do what the words after -o do."""

import os
import stat

import pytest

from ffrfs.mount.mountpoint import find_mount
from tests.support.archives import write_archive
from tests.support.processes import ffrfs

pytestmark = pytest.mark.usefixtures("fuse")

FLAGS = {
    "allow_other": "--allow-other",
    "nonempty": "--nonempty",
    "uid=12345": "--uid=12345",
    "gid=54321": "--gid=54321",
    "umask=027": "--umask=027",
    r"fsname=a\,b": "--fsname=a,b",
    "workers=3": "--workers=3",
    "prefetch=0": "--prefetch=0",
    "read_ahead_kb=256": "--read-ahead-kb=256",
}


def mounted_with(archive, place, arguments):
    """Mount, and return what of it can be seen."""
    assert ffrfs("mount", *arguments, archive, place, "--log", place.parent / "log").stderr == ""
    try:
        found, status = find_mount(os.fspath(place)), os.stat(place / "a")
        facts = (place / ".ffrfs" / "stats").read_text()
        with open(f"/sys/class/bdi/{found.device}/read_ahead_kb") as setting:
            return (
                found.source,
                found.allow_other,
                status.st_uid,
                status.st_gid,
                stat.S_IMODE(status.st_mode),
                '"workers": 3,' in facts,
                setting.read().strip(),
            )
    finally:
        assert ffrfs("umount", place).returncode == 0


def test_flags_and_words_are_the_same(tmp_path, root):
    archive, place = write_archive(tmp_path / "a.ffr", {b"a": b"a"}), tmp_path / "mnt"
    place.mkdir()
    (place / "hidden").touch()
    expected = ("a,b", True, 12345, 54321, 0o440, True, "256")
    assert mounted_with(archive, place, list(FLAGS.values())) == expected
    assert mounted_with(archive, place, ["-o", ",".join(FLAGS)]) == expected


def test_nonsense_in_a_flag_is_one_sentence(tmp_path):
    done = ffrfs("mount", "--workers", "0", tmp_path / "a.ffr", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "option workers cannot be '0'" in done.stderr


def test_every_shell_has_its_script_and_completes_mount_points(mount):
    mounted = mount({b"a": b"a"})
    for shell in ("bash", "zsh", "fish"):
        assert "_FFRFS_COMPLETE" in ffrfs("completion", shell).stdout
    words = {**os.environ, "_FFRFS_COMPLETE": "bash_complete", "COMP_WORDS": "ffrfs umount ", "COMP_CWORD": "2"}
    assert f"plain,{mounted.path}" in ffrfs(env=words).stdout.splitlines()
