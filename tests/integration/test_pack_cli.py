"""`ffrfs pack` and `ffrfs unpack` as commands."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ffrfs import PackedFolder, pack_folder
from tests.support.reference_packer import reference_archive

COMMAND = [sys.executable, "-m", "ffrfs"]
MARKER = ".ffrfs-unpack-incomplete"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    for number in range(50):
        path = folder / f"d{number % 3}" / f"{number:02d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 100))
    return folder


@pytest.fixture
def large(tmp_path):
    """A folder that takes long enough to pack to be interrupted; its file has no blocks on disk."""
    folder = tmp_path / "large"
    folder.mkdir()
    with (folder / "sparse").open("wb") as file:
        file.truncate(50 << 30)
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.ffr"


def ffrfs(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)


def fails(status, *arguments):
    """Run a command that has to fail with this status; returns its only line, which is no traceback."""
    ended = ffrfs(*arguments)
    assert ended.returncode == status, ended
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    return line


def listing(folder):
    return sorted(os.listdir(folder))


def test_a_folder_goes_there_and_back(source, out, tmp_path):
    packed = ffrfs("pack", source, out)
    assert (packed.returncode, packed.stderr) == (0, "")
    assert packed.stdout == f"{out}: 50 files, 122.5 kB\n"
    assert out.read_bytes() == reference_archive(source)
    unpacked = ffrfs("unpack", out, tmp_path / "target")
    assert (unpacked.returncode, unpacked.stderr) == (0, "")
    assert unpacked.stdout == f"{tmp_path}/target: 50 files, 122.5 kB\n"
    assert subprocess.run(["diff", "-r", source, tmp_path / "target"]).returncode == 0


def test_the_index_is_written_at_once_unless_it_is_not_wanted(source, out):
    ffrfs("pack", "--no-index", source, out)
    assert listing(out.parent) == ["out.ffr", "source"]
    ffrfs("pack", source, out)
    assert listing(out.parent) == ["out.ffr", "out.ffr.index", "source"]
    assert f'"index": "{out}.index"' in ffrfs("info", "--json", out).stdout


def test_shards(source, tmp_path):
    packed = ffrfs("pack", "--shards", "3", "--jobs", "2", "--verbose", source, tmp_path / "shards")
    assert packed.returncode == 0, packed
    assert [line.split(":")[0] for line in packed.stdout.splitlines()[:3]] == [
        f"{tmp_path}/shards/PART_0000{number}.ffr" for number in range(3)
    ]
    assert listing(tmp_path / "shards") == ["PART_00000.ffr", "PART_00001.ffr", "PART_00002.ffr", "ffrfs.index"]
    assert ffrfs("unpack", tmp_path / "shards", tmp_path / "target").returncode == 0
    assert subprocess.run(["diff", "-r", source, tmp_path / "target"]).returncode == 0


def test_shards_of_a_size(source, tmp_path):
    assert ffrfs("pack", "--shard-size", "20KiB", "--no-index", source, tmp_path / "shards").returncode == 0
    sizes = [path.stat().st_size for path in (tmp_path / "shards").iterdir()]
    assert len(sizes) > 5 and max(sizes) <= 20 << 10


def test_verbose_names_each_file(source, out):
    lines = ffrfs("pack", "-v", source, out).stdout.splitlines()
    assert len(lines) == 51
    assert lines[0] == f"00/50 {source}/d0/00"


def test_some_paths_only(source, out, tmp_path):
    pack_folder(source, out)
    assert ffrfs("unpack", out, tmp_path / "target", "d1/01", "d2").returncode == 0
    assert listing(tmp_path / "target") == ["d1", "d2"]
    assert listing(tmp_path / "target" / "d1") == ["01"]


def test_errors_are_one_line_with_a_status(source, out, tmp_path):
    assert fails(1, "pack", tmp_path / "nowhere", out) == f"ffrfs: {tmp_path}/nowhere: No such file or directory"
    assert "must end in .ffr" in fails(2, "pack", source, tmp_path / "out")
    assert "not both" in fails(2, "pack", "--shards", "2", "--shard-size", "1k", source, out)
    assert "--dask needs --shards" in fails(2, "pack", "--dask", "tcp://localhost:1", source, out)
    assert "written into the folder" in fails(1, "pack", source, source / "out.ffr")
    Path(os.fsdecode(os.fsencode(source) + b"/\xff")).symlink_to("nowhere")
    assert r"/source/\xff: it is a symlink to 'nowhere'" in fails(1, "pack", source, out)
    out.write_bytes(b"no archive")
    assert "not an .ffr archive" in fails(4, "unpack", out, tmp_path / "target")
    assert listing(tmp_path) == ["out.ffr", "source"]


def test_unpack_overwrites_only_by_force(source, out, tmp_path):
    pack_folder(source, out)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "d0").write_bytes(b"")
    assert "not empty" in fails(1, "unpack", out, tmp_path / "target")
    assert ffrfs("unpack", "--force", out, tmp_path / "target").returncode == 0
    assert subprocess.run(["diff", "-r", source, tmp_path / "target"]).returncode == 0


@pytest.mark.parametrize("command", ["pack", "unpack"])
def test_help_has_an_example(command):
    assert re.search(rf"^  ffrfs {command} [^\[]*$", ffrfs(command, "--help").stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["pack", "unpack", "verify"])
def test_a_terminal_gets_a_progress_bar(source, out, tmp_path, command):
    (source / "large").write_bytes(bytes(50_000_000))
    pack_folder(source, out)
    arguments = {"pack": [source, out], "unpack": [out, tmp_path / "target"], "verify": [out]}[command]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "150"}
    process = subprocess.Popen([*COMMAND, command, *arguments], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while chunk := read_terminal(ours):
        shown += chunk
    os.close(ours)
    process.communicate()
    assert process.returncode == 0
    files = b"52/52 files" if command == "verify" else b"51/51 files"  # the tree of names is a record too
    assert all(part in shown for part in (files, b"50.1/50.1 MB", b"B/s", b"0:00:0"))


def read_terminal(descriptor):
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # EIO: the other side is closed
        return b""


def start_and_wait(condition, *arguments):
    """Start a command and return when it has done something that can be seen."""
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    return process


def temporaries(folder):
    return [path for path in folder.rglob(".*.tmp") if path.is_file() and path.stat().st_size > 1 << 20]


@pytest.mark.semantics("pack-whole")
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
    ids=["TERM", "INT", "KILL"],
)
@pytest.mark.parametrize("shards", [[], ["--shards", "2"]], ids=["single", "shards"])
def test_an_interrupted_pack_leaves_no_half_archive_and_no_litter_for_the_next(
    source, large, tmp_path, number, status, shards
):
    out = tmp_path / ("out" if shards else "out.ffr")
    process = start_and_wait(lambda: temporaries(tmp_path), "pack", *shards, large, out)
    process.send_signal(number)
    stderr = process.communicate()[1]
    assert process.returncode == status
    assert "Traceback" not in stderr
    if number == signal.SIGKILL:
        assert not out.is_file() and not list(out.glob("*.ffr"))
        assert temporaries(tmp_path)
    else:
        assert listing(tmp_path) == ["large", "source"]
    assert ffrfs("pack", "--no-index", *shards, source, out).returncode == 0
    with PackedFolder(out) as folder:
        assert folder.num_files() == 50
    assert listing(tmp_path) == ["large", out.name, "source"]
    assert not list(tmp_path.rglob(".*.tmp"))


@pytest.mark.semantics("pack-whole")
@pytest.mark.parametrize("shards", [[], ["--shards", "3"]], ids=["single", "shards"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(source, small_disk, shards):
    (source / "too-large").write_bytes(os.urandom(20_000_000))
    out = small_disk / ("out" if shards else "out.ffr")
    if not shards:
        out.write_bytes(b"as it was")
    line = fails(1, "pack", *shards, source, out)
    assert "No space left on device" in line and str(small_disk) in line
    assert listing(small_disk) == ([] if shards else ["out.ffr"])
    assert shards or out.read_bytes() == b"as it was"


@pytest.mark.semantics("pack-whole")
def test_a_killed_pack_leaves_the_archive_that_was_there(source, large, out):
    pack_folder(source, out)
    before = out.read_bytes()
    process = start_and_wait(lambda: temporaries(out.parent), "pack", large, out)
    process.kill()
    process.communicate()
    assert out.read_bytes() == before


@pytest.mark.semantics("unpack-marked")
def test_a_killed_unpack_is_visible_as_such(tmp_path, out):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(3000):
        (source / f"{number:04d}").write_bytes(b"x" * 1000)
    pack_folder(source, out)
    process = start_and_wait(lambda: target.exists() and len(os.listdir(target)) > 1, "unpack", out, target)
    process.kill()
    process.communicate()
    assert MARKER in os.listdir(target)
    assert "not empty" in fails(1, "unpack", out, target)
    assert ffrfs("unpack", "-f", out, target).returncode == 0
    assert subprocess.run(["diff", "-r", source, target]).returncode == 0


PEAK = """
import re, sys
from pathlib import Path
from ffrfs import pack_folder
from ffrfs.pack.unpack import unpack
{"pack": pack_folder, "unpack": unpack}[sys.argv[1]](*sys.argv[2:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def peak_mib(*arguments):
    """The most memory that a pack or unpack in a process of its own had resident, in MiB."""
    process = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True)
    return int(process.stdout) / 1024


def sparse_folder(tmp_path, size_bytes):
    folder = tmp_path / "source"
    folder.mkdir()
    with (folder / "sparse").open("wb") as file:
        file.truncate(size_bytes)
    return folder


def test_memory_does_not_grow_with_the_sizes_of_files(tmp_path, out):
    assert peak_mib("pack", sparse_folder(tmp_path, 600_000_000), out) < 200
    assert peak_mib("unpack", out, tmp_path / "target") < 200


@pytest.mark.slow
def test_nor_does_it_with_five_gigabytes(tmp_path, out):
    assert peak_mib("pack", sparse_folder(tmp_path, 5_000_000_000), out) < 200
    assert out.stat().st_size > 5_000_000_000
