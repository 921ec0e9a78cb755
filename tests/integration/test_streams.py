"""Commands and mounts whose standard streams are closed, full or gone."""

import os
import subprocess

import pytest

from tests.support.archives import write_archive
from tests.support.processes import command, ffrfs

TREE = {b"a": b"hello\n", b"b": bytes(200_000)}


def shell(redirection, *arguments):
    """Run a command with a redirection of the shell's."""
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command(*arguments)], capture_output=True, text=True
    )


@pytest.mark.semantics("closed-streams")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_mount_whose_command_had_no_streams(fuse, workers, tmp_path, closed):
    archive, place = write_archive(tmp_path / "a.ffr", TREE), tmp_path / "mnt"
    place.mkdir()
    done = shell(closed, "mount", archive, place, "--log", tmp_path / "log", f"-oworkers={workers}")
    assert (done.returncode, done.stderr) == (0, "")
    try:
        assert {os.fsencode(path.name): path.read_bytes() for path in place.iterdir()} == TREE
    finally:
        assert ffrfs("umount", place).returncode == 0


@pytest.mark.semantics("one-line")
@pytest.mark.parametrize(
    ("redirection", "reason"), [(">&-", "Bad file descriptor"), ("> /dev/full", "No space left on device")]
)
@pytest.mark.parametrize("words", [["cat", "A", "a"], ["cat", "A", "b"], ["ls", "A"], ["info", "A"], ["--help"]])
def test_output_that_cannot_be_written(tmp_path, words, redirection, reason):
    archive = write_archive(tmp_path / "a.ffr", TREE)
    done = shell(redirection, *(archive if word == "A" else word for word in words))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"ffrfs: {reason}\n")


@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full"])
def test_the_status_says_it_where_nobody_hears_of_an_error(tmp_path, redirection):
    assert shell(redirection, "cat", tmp_path / "nothing.ffr", "a").returncode == 1
    assert shell(redirection, "nonsense").returncode == 2
