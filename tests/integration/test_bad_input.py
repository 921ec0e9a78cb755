"""What is the user's or the archive's fault ends as one line that says what to do, with its exit status."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.archives import packed_folder, write_archive
from tests.support.processes import environment, ffrfs

GOOD = packed_folder({b"f": b"contents"})
READING = (["ls"], ["info"], ["verify"], ["index"], ["cat", "f"], ["mount", "."], ["unpack", "out"])


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, with a good archive in it and an empty folder `mnt`."""
    monkeypatch.chdir(tmp_path)
    Path("good.ffr").write_bytes(GOOD)
    Path("mnt").mkdir()
    return tmp_path


def assert_fails(status, message, *arguments, **options):
    """Assert that a command prints just one line to standard error, which the expression matches, and its status."""
    done = ffrfs(*arguments, **options)
    assert re.fullmatch(rf"ffrfs: {message}\n", done.stderr), done.stderr
    assert (done.returncode, done.stdout) == (status, "")
    assert "\n" not in done.stderr.rstrip("\n")


def reading(archive):
    """The commands that read an archive, complete."""
    for command, *arguments in READING:
        yield [command, archive, *("mnt" if argument == "." else argument for argument in arguments)]


@pytest.mark.semantics("exit-archive")
@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "not an .ffr archive: the file is empty, a header has at least 12"),
        (b"1234567", "not an .ffr archive: the file ends after 7 bytes.*"),
        (b"no archive at all, but long enough to look at", "not an .ffr archive.*"),
        (GOOD[:20], "not an .ffr archive, or cut short.*"),
        (GOOD[:-1], ".*"),
        (GOOD[:4] + b"\xff" * 8 + GOOD[12:], "not an .ffr archive: its header claims -1 records"),
        (b"\xff" + GOOD[1:], "the header's checksum is .*, it should be .*"),
    ],
    ids=["empty", "short", "text", "cut in the header", "cut in the tree", "negative", "checksum"],
)
def test_what_is_no_archive(place, contents, message):
    Path("bad.ffr").write_bytes(contents)
    for command in reading("bad.ffr"):
        assert_fails(4, rf"(\S*/)?bad\.ffr: {message}", *command)


@pytest.mark.semantics("exit-path")
def test_an_archive_that_is_not_there(place):
    for command in reading("nowhere.ffr"):
        assert_fails(1, r"(\S*/)?nowhere\.ffr: No such file or directory", *command)


@pytest.mark.semantics("exit-path")
def test_a_path_that_the_archive_does_not_have(place):
    assert_fails(1, "good.ffr/nothing: No such file or directory", "cat", "good.ffr", "nothing")
    assert_fails(1, "good.ffr/f/x: Not a directory", "cat", "good.ffr", "f/x")
    assert_fails(1, "good.ffr/: Is a directory", "cat", "good.ffr", "/")
    assert_fails(1, "good.ffr/nothing: No such file or directory", "ls", "good.ffr", "nothing")


@pytest.mark.semantics("exit-archive")
def test_things_that_are_no_files(place):
    os.mkfifo("fifo.ffr")
    for command in reading("fifo.ffr"):
        assert_fails(4, r"(\S*/)?fifo\.ffr: it is no regular file, so it is no archive", *command)
    Path("folder").mkdir()
    for command in reading("folder"):
        assert_fails(4, r"(\S*/)?folder: this folder has no .ffr files, so it is no sharded archive", *command)


@pytest.mark.semantics("one-line")
def test_a_name_cannot_forge_lines_or_move_the_cursor(place):
    name = b"evil\n2026 ERROR fake\x1b[2J\x9b\xe2\x80\xae\r"
    archive = write_archive(place / "evil.ffr", {name: b"contents", b"fine": b""})
    damaged = bytearray(archive.read_bytes())
    damaged[damaged.index(b"contents")] ^= 1
    archive.write_bytes(damaged)
    for arguments in (["cat", archive, name], ["unpack", archive, "out"], ["verify", archive]):
        done = ffrfs(*arguments)
        assert done.returncode == 4
        assert len(done.stderr.splitlines()) == 1
        assert r"evil\n2026 ERROR fake\x1b[2J" in done.stderr
        assert done.stderr.rstrip("\n").isprintable()
    assert ffrfs("ls", archive).stdout == r"evil\n2026 ERROR fake\x1b[2J\x9b\u202e\r" "\nfine\n"


@pytest.mark.semantics("exit-mount")
def test_mount_points_that_cannot_be(fuse, place):
    assert_fails(3, r"mount point \S*/nowhere does not exist: create it with mkdir", "mount", "good.ffr", "nowhere")
    assert_fails(3, r"mount point \S*/good.ffr is not a folder", "mount", "good.ffr", "good.ffr")
    assert_fails(3, r"mount point \S* holds the archive \S*good\.ffr itself: .*", "mount", "good.ffr", ".")
    assert_fails(3, r".* holds the archive .*", "mount", "good.ffr", ".", "-o", "nonempty")
    Path("mnt/file").touch()
    assert_fails(3, r"mount point \S*/mnt is not empty \(it has 'file'\): .*", "mount", "good.ffr", "mnt")


@pytest.mark.semantics("exit-mount")
def test_a_mount_point_that_has_a_mount(mount):
    mounted = mount({b"f": b""})
    assert_fails(3, rf"{mounted.path} is already mounted: .*", "mount", mounted.archive, mounted.path)
    assert_fails(3, r".* is already mounted: .*", "mount", mounted.archive, mounted.path, "-o", "nonempty")


@pytest.mark.semantics("nonempty")
def test_a_folder_with_files_can_be_mounted_over_if_asked_for(mount, tmp_path):
    over = tmp_path / "over"
    over.mkdir()
    (over / "below").touch()
    mounted = mount({b"f": b"above"}, "nonempty", path=over)
    assert os.listdir(over) == ["f"]
    mounted.unmount()
    assert os.listdir(over) == ["below"]


@pytest.mark.semantics("exit-mount")
def test_unmounting_what_is_not_mounted(fuse, place):
    assert_fails(3, "no archive is mounted at mnt: .*", "umount", "mnt")
    assert_fails(3, "no archive is mounted at nowhere: .*", "umount", "nowhere")
    assert_fails(3, "no archive is mounted at /proc: .*", "umount", "/proc")


@pytest.mark.semantics("exit-config")
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("alow_other", "there is no mount option 'alow_other'; did you mean 'allow_other'?"),
        ("workers=0", "option workers cannot be '0': it is a whole number from 1 to 128"),
        ("workers=many", "option workers cannot be 'many': .*"),
        ("umask=999", "option umask cannot be '999': it is an octal number"),
        ("uid", "option uid needs a value: uid=…"),
        ("allow_other=1", "option allow_other takes no value, it has '1'"),
        ("prefetch=lots", "option prefetch cannot be 'lots': .*"),
    ],
)
def test_options_that_make_no_sense(fuse, place, option, message):
    assert_fails(2, message.replace("?", r"\?"), "mount", "good.ffr", "mnt", "-o", option)


@pytest.mark.semantics("exit-config")
@pytest.mark.parametrize(
    "arguments", [["mount"], ["mount", "good.ffr"], ["cat", "good.ffr"], ["fly"], ["ls", "--what"]]
)
def test_command_lines_that_make_no_sense(place, arguments):
    done = ffrfs(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: ") and "Traceback" not in done.stderr


@pytest.mark.semantics("no-fuse")
@pytest.mark.parametrize("missing", ["pyfuse3", "trio"])
def test_without_the_packages_it_says_which(place, missing):
    script = f"import sys; sys.modules[{missing!r}] = None; from ffrfs.cli import main; main()"
    arguments = [sys.executable, "-c", script, "mount", "good.ffr", "mnt"]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 3
    assert re.fullmatch(
        rf"ffrfs: mounting needs pyfuse3 and trio, and {missing} is missing: .*in process\)\n", done.stderr
    )


@pytest.mark.semantics("no-fuse")
def test_without_dev_fuse_it_says_so(root, fuse, place):
    hidden = 'mount -t tmpfs none /dev/ && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hidden, "sh", sys.executable, "-m", "ffrfs", "mount", "good.ffr", "mnt"],
        capture_output=True, text=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert re.fullmatch(r"ffrfs: there is no /dev/fuse here: .*in process\)\n", done.stderr)
