"""Names from strangers on a terminal: no control byte of theirs arrives there, and no line is forged."""

import contextlib
import os
import re
import subprocess
import sys

import pytest

from ffrfs.cli.completion import PLAIN
from tests.support.archives import write_archive, write_tree
from tests.support.mounts import mounted

NAME = "e\x1b]0;owned\a\x1b[31m\r\nforged: line\udc9b2J"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|^forged", re.MULTILINE)

COMMANDS = {
    "pack": ["pack", "-v", "source", f"new{NAME}.ffr"],
    "pack shards": ["pack", "-v", "--shards", "2", "source", f"shards{NAME}"],
    "pack what is not there": ["pack", f"no{NAME}", "x.ffr"],
    "pack to a wrong name": ["pack", "source", NAME],
    "pack with a wrong size": ["pack", "--shard-size", NAME, "source", "x"],
    "pack on a cluster that is none": ["pack", "--shards", "2", "--dask", NAME, "source", "x"],
    "ls": ["ls", f"a{NAME}.ffr"],
    "ls more": ["ls", "-lR", f"a{NAME}.ffr"],
    "ls json": ["ls", "--json", "-R", f"a{NAME}.ffr"],
    "ls what is not there": ["ls", f"a{NAME}.ffr", f"no{NAME}"],
    "ls too many": ["ls", NAME, NAME, NAME],
    "ls wrong option": ["ls", f"--no{NAME}"],
    "cat a folder": ["cat", f"a{NAME}.ffr", "d"],
    "info": ["info", f"a{NAME}.ffr"],
    "index": ["index", f"a{NAME}.ffr"],
    "verify": ["verify", f"a{NAME}.ffr"],
    "verify a damaged one": ["verify", f"damaged{NAME}.ffr"],
    "unpack": ["unpack", f"a{NAME}.ffr", f"unpacked{NAME}"],
    "unpack again": ["unpack", f"a{NAME}.ffr", "source"],
    "mount what is not there": ["mount", f"no{NAME}", "mnt"],
    "mount nowhere": ["mount", f"a{NAME}.ffr", f"no{NAME}"],
    "mount with a wrong option": ["mount", "-o", NAME, f"a{NAME}.ffr", "mnt"],
    "mount with a wrong value": ["mount", "-o", f"workers={NAME}", f"a{NAME}.ffr", "mnt"],
    "mount with a wrong configuration": ["mount", "--config", f"wrong{NAME}.toml"],
    "umount": ["umount", f"no{NAME}"],
    "stats": ["stats", f"no{NAME}"],
    "doctor": ["doctor", f"no{NAME}"],
    "mounts too many": ["mounts", NAME],
    "install-systemd": ["install-systemd", "--root", f"root{NAME}"],
    "install-systemd what is not configured": ["install-systemd", NAME],
    "no command": [NAME],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a folder to pack, archives and a configuration, all with such names, and the empty folder `mnt`."""
    place = tmp_path_factory.mktemp("place")
    tree = {NAME.encode("utf-8", "surrogateescape"): b"contents of it"}
    write_tree(place / "source", {b"d": tree, **tree})
    archive = write_archive(place / f"a{NAME}.ffr", {b"d": tree, **tree}).read_bytes()
    (place / f"damaged{NAME}.ffr").write_bytes(archive.replace(b"contents", b"damaged!", 1))
    (place / f"wrong{NAME}.toml").write_text('"a\\u001b\\nforged" = 1')
    (place / "mnt").mkdir()
    return place


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_lets_a_control_byte_through(place, command):
    done = subprocess.run([sys.executable, "-m", "ffrfs", *COMMANDS[command]], cwd=place, capture_output=True)
    assert b"Traceback" not in done.stderr
    for output in (done.stdout, done.stderr):
        assert not CONTROL.search(output.decode("utf-8", "surrogateescape")), output


def test_the_log_has_one_line_for_a_message(tmp_path):
    script = (
        "import logging, sys; from ffrfs.mount.log import start_logging\n"
        "start_logging(sys.argv[1] or None); log = logging.getLogger('ffrfs')\n"
        "log.warning('%s was changed', sys.argv[2])\n"
        "try: raise ValueError('of ours')\n"
        "except ValueError: log.exception('%s failed', sys.argv[2])\n"
    )
    for file, journal in (("log", {}), ("", {}), ("", {"JOURNAL_STREAM": "8:1"})):
        command = [sys.executable, "-c", script, file, NAME]
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **journal}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        text = (tmp_path / "log").read_text() if file else done.stderr
        assert not CONTROL.search(text)
        assert text.count("forged") == 2 and "ValueError: of ours" in text and "Traceback" in text


def completions(*words):
    """What bash is given for the last of these words."""
    environment = {
        **os.environ,
        "_FFRFS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run([sys.executable, "-m", "ffrfs"], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.usefixtures("fuse")
def test_completion_offers_no_mount_point_that_a_shell_would_read_in_another_way(tmp_path):
    """Another user chose it, and a shell inserts it as it is."""
    archive = write_archive(tmp_path / "a.ffr", {b"a": b""})
    with contextlib.ExitStack() as mounts:
        for number, name in enumerate(("plain-1.0,中文", "x;reboot;", "x $(reboot)`reboot`'*\\")):
            (tmp_path / str(number)).mkdir()
            mounts.enter_context(mounted(archive, tmp_path / str(number), path=tmp_path / name))
        assert completions("ffrfs", "umount", f"{tmp_path}/") == [f"plain,{tmp_path}/plain-1.0,中文"]
        assert completions("ffrfs", "umount", f"{tmp_path}/x") == [f"dir,{tmp_path}/x"]


@pytest.mark.parametrize(
    "name", [";", "$(a)", " ", "`a`", "'", '"', "*", "?", "&", "~", "\n", "\\", "#", "!", "\udcff", "\x1b", "(", "<"]
)
def test_names_that_shells_read_in_another_way(name):
    assert not PLAIN.fullmatch(f"/mnt/{name}")
