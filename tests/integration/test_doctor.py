"""`ffrfs doctor` on real mounts: healthy, dead, of a replaced or damaged archive, and what it mends."""

import os
import signal
import subprocess

import pytest

from tests.support.archives import write_archive
from tests.support.errnos import fails_with
from tests.support.processes import command, ffrfs
from tests.support.users import as_user

TREE = {b"%02d" % number: b"x" * 1000 for number in range(20)}


@pytest.fixture
def workers():
    """What is found does not depend on the number of workers."""
    return 2


def findings(*arguments):
    """Run doctor; returns its exit status and what it printed about a mount."""
    done = ffrfs("doctor", *arguments)
    assert done.stderr == "" and "system\n  ok       Linux " in done.stdout
    return done.returncode, done.stdout[done.stdout.index("\n/") + 1 :]


def test_a_healthy_mount(mount):
    mounted = mount(TREE)
    status, text = findings(mounted.path)
    assert status == 0 and "problem" not in text
    assert f"it answers: 20 files of {mounted.archive}, 2 workers" in text
    assert "no index is kept: the archive is small" in text
    assert str(mounted.path) in findings()[1]


def test_versions_are_shown():
    text = ffrfs("doctor").stdout
    assert "pyfuse3 " in text and "trio " in text and "libfuse 3." in text


def test_only_dead_mounts_are_cleaned(mount):
    living, dead = mount(TREE), mount(TREE)
    dead.status = -signal.SIGKILL
    os.listdir(dead.path)  # the kernel keeps what it saw, and answers stat from it afterwards
    dead.kill()
    dead.wait_for_end(leaves_mount=True)
    status, text = findings(dead.path)
    assert status == 1 and "problem  its daemon is gone" in text and "→ " in text
    status, text = findings("--fix", dead.path)
    assert status == 0 and "it is unmounted" in text
    assert not dead.is_mounted() and living.is_mounted()
    assert findings("--fix", living.path)[0] == 0
    assert living.is_mounted()


def test_where_nothing_is_mounted(tmp_path):
    assert findings(tmp_path) == (
        0,
        f"{tmp_path}\n  ok       nothing is mounted at {tmp_path}, and an archive can be\n",
    )
    (tmp_path / "file").touch()
    status, text = findings(tmp_path)
    assert status == 1 and "is not empty" in text
    assert findings(tmp_path / "absent")[0] == 1


def test_a_replaced_archive(mount, tmp_path):
    mounted = mount(TREE)
    os.replace(write_archive(tmp_path / "new.ffr", {b"new": b"new"}), mounted.archive)
    status, text = findings(mounted.path)
    assert status == 1 and f"{mounted.archive} was replaced or removed" in text
    mounted.archive.unlink()
    assert "was replaced or removed" in findings(mounted.path)[1]


def test_a_damaged_record(mount, tmp_path):
    archive = write_archive(tmp_path / "damaged.ffr", TREE)
    content = bytearray(archive.read_bytes())
    content[content.index(b"x" * 1000)] ^= 1
    archive.write_bytes(content)
    mounted = mount(archive)
    mounted.tolerated = ["is damaged there", "was found damaged before"]
    with fails_with("EIO"):
        (mounted.path / "00").read_bytes()
    status, text = findings(mounted.path)
    assert status == 1 and "reads of damaged records failed" in text and f"ffrfs verify {archive}" in text


def test_the_index(mount, tmp_path):
    archive = write_archive(tmp_path / "a.ffr", TREE)
    assert ffrfs("index", archive).returncode == 0
    mounted = mount(archive)
    index_file = archive.with_name("a.ffr.index")
    assert f"its index is kept at {index_file}" in findings(mounted.path)[1]
    index_file.chmod(0o666)
    text = findings(mounted.path)[1]
    assert f"{index_file} is not used: others than its owner can write it" in text
    assert f"'ffrfs index {archive}'" in text


@pytest.mark.usefixtures("root")
def test_a_users_rights(mount):
    mounted = mount(TREE)
    done = subprocess.run(as_user(*command("doctor", mounted.path)), capture_output=True, text=True)
    assert done.stderr == ""
    assert "fusermount3 lets users mount" in done.stdout
    assert "allow_other" in done.stdout
    assert "shows nothing to this user" in done.stdout
