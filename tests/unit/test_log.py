"""The log: where it is, and that no line is an error for who writes it."""

import logging
import os
import shutil

import pytest

from ffrfs.errors import ConfigError
from ffrfs.mount.log import default_log_path, reopen_log, start_default_log, start_logging


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user's, and logging as it was."""
    root, raising = logging.getLogger(), logging.raiseExceptions
    before, level = root.handlers[:], root.level
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    yield tmp_path
    root.handlers[:], root.level, logging.raiseExceptions = before, level, raising


def log(text):
    logging.getLogger("ffrfs.test").warning("%s", text)


def test_each_mount_point_has_a_log_of_its_own():
    places = ["/x/a-b", "/x/a/b", "/x-a/b", "/x/a\nb", "/x/a_b", "/x/a\tb", "/", "/" + "d/" * 300, "/e" + "/d" * 300]
    paths = [
        default_log_path(place) for place in [*places, os.fsdecode(b"/x/\xff"), os.fsdecode(b"/x/\xfe"), "/数据" * 90]
    ]
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert len(os.path.basename(os.fsencode(path))) <= 210 and os.path.basename(path).isprintable()
    assert default_log_path("/mnt/coco").endswith("/ffrfs/mnt-coco.log")


@pytest.mark.parametrize("state", ["", "relative/place"])
def test_an_xdg_folder_that_is_not_absolute_is_none(home, monkeypatch, state):
    monkeypatch.setenv("XDG_STATE_HOME", state)
    assert default_log_path("/m") == f"{home}/.local/state/ffrfs/m.log"


def test_without_a_home_there_is_no_log_and_no_folder_called_tilde(home, monkeypatch, capfd):
    monkeypatch.chdir(home)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it is for a uid without a name
    start_logging(None)
    start_default_log("/m")
    log("lost")
    assert "/m is mounted without a log, since this user has no home folder" in capfd.readouterr().err
    assert os.listdir(home) == []


def test_a_home_that_cannot_be_written(home, monkeypatch, capfd):
    (home / "file").write_text("")
    monkeypatch.setenv("HOME", str(home / "file"))
    start_logging(None)
    start_default_log("/m")
    assert "/m is mounted without a log, since the log" in capfd.readouterr().err


def test_a_log_that_was_asked_for_and_cannot_be_written_is_an_error(home):
    (home / "file").write_text("")
    with pytest.raises(ConfigError, match=r"the log .*/file/log cannot be written: File exists"):
        start_logging(str(home / "file" / "log"))


def test_a_folder_that_was_removed_is_made_anew(home):
    start_logging(str(home / "folder" / "log"))
    shutil.rmtree(home / "folder")
    log("after")
    assert (home / "folder" / "log").read_text().endswith("after\n")


def test_a_folder_that_cannot_be_made_anew_is_no_error(home, capfd):
    start_logging(str(home / "folder" / "log"))
    shutil.rmtree(home / "folder")
    (home / "folder").write_text("a file")
    log("lost")
    reopen_log()
    log("lost, too")
    (home / "folder").unlink()
    log("kept")
    assert (home / "folder" / "log").read_text().endswith("kept\n")
    assert capfd.readouterr().err == ""


def test_a_full_disk_is_no_error(capfd):
    start_logging("/dev/full")
    log("lost")
    assert capfd.readouterr().err == ""


def test_a_log_that_was_moved_away(home):
    start_logging(str(home / "log"))
    log("first")
    (home / "log").rename(home / "log.1")
    log("second")
    assert (home / "log.1").read_text().endswith("first\n")
    assert (home / "log").read_text().endswith("second\n")


def test_a_line_that_is_no_text(home):
    start_logging(str(home / "log"))
    log("\udcff")
    logging.getLogger("ffrfs.test").warning("%d", "no number")
    assert (home / "log").read_text().endswith("\\xff\n")


def test_a_closed_pipe_is_no_error():
    start_logging(None)
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", closefd=False) as stream:
        logging.getLogger().handlers[0].stream = stream
        log("lost")
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # for what is left in its buffer
    os.close(writer)
