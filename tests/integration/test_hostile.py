"""Archives from strangers: whatever is wrong with one is an ArchiveError, and none of its code runs.

Nor does it cost more memory than a stated multiple of its own size, or write outside of where it is unpacked to.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ffrfs import ArchiveError, FileReader, PackedFolder
from ffrfs.cli import main
from ffrfs.daemon.serve import prepare
from ffrfs.format.tree import MAX_DEPTH
from ffrfs.mount.options import MountOptions
from ffrfs.pack.unpack import unpack
from tests.data.make_corrupt import EVIDENCE, RECORDS, cases
from tests.support.bombs import BOMBS, colliding_names, deep
from tests.support.processes import environment, ffrfs

CORRUPT = Path(__file__).parent.parent / "data" / "corrupt"
FILES = sorted(path.name for path in CORRUPT.glob("*.ffr"))
COMMANDS = (["ls", "-R"], ["ls", "--json"], ["info"], ["verify"], ["index"], ["cat", "a"], ["unpack", "out"])

BASE_BYTES = 64 << 20
BYTES_PER_BYTE = 80
BOMB_BYTES = 3 << 20
CPU_SECONDS = 10  # to open a bomb: what is promised is 3, and beside it Python starts


def test_the_corpus_is_what_its_script_makes():
    assert set(FILES) == set(cases())


@pytest.fixture(params=FILES)
def corrupt(request, tmp_path, monkeypatch):
    """An archive of the corpus, seen from an empty working folder, which must be empty of code's traces afterwards."""
    monkeypatch.chdir(tmp_path)
    yield CORRUPT / request.param
    assert not Path(EVIDENCE).exists()


@pytest.mark.semantics("hostile", "no-code")
def test_readers_raise_an_archive_error(corrupt):
    with pytest.raises(ArchiveError):
        PackedFolder(corrupt)
    if corrupt.name.startswith("header-"):
        with pytest.raises(ArchiveError):
            FileReader(corrupt)
    elif corrupt.name not in ("tree-a-bit-flipped.ffr", "tree-cut-short.ffr", "tree-with-bytes-appended.ffr"):
        with FileReader(corrupt) as reader:
            assert [record.tobytes() for record in reader.read(range(reader.n - 1))] == RECORDS


@pytest.mark.semantics("hostile", "no-code")
def test_commands_end_with_one_line(corrupt, monkeypatch, capsys):
    for command, *arguments in COMMANDS:
        monkeypatch.setattr(sys, "argv", ["ffrfs", command, str(corrupt), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output, message = capsys.readouterr()
        assert (ended.value.code, output) == (4, "")
        assert message.startswith("ffrfs: ")
        assert message.removesuffix("\n").isprintable()
    assert os.listdir() == []


@pytest.mark.semantics("hostile", "no-code")
def test_nothing_is_mounted(corrupt, tmp_path):
    (tmp_path / "mnt").mkdir()
    with pytest.raises(ArchiveError):
        prepare(str(corrupt), str(tmp_path / "mnt"), MountOptions())


@pytest.mark.semantics("hostile")
@pytest.mark.parametrize("name", ["header-n-billions.ffr", "tree-code-reduce-protocol-4.ffr", "tree-name-climbing.ffr"])
def test_the_mount_command_refuses_it(fuse, tmp_path, name):
    (tmp_path / "mnt").mkdir()
    done = ffrfs("mount", CORRUPT / name, tmp_path / "mnt", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert not os.path.ismount(tmp_path / "mnt")
    assert os.listdir(tmp_path) == ["mnt"]


@pytest.mark.semantics("hostile")
def test_a_shard_that_is_wrong(tmp_path):
    for number, name in enumerate(["tree-shared-directory.ffr", "header-offset-negative.ffr"]):
        (tmp_path / f"PART_{number:05}.ffr").write_bytes((CORRUPT / name).read_bytes())
    for reader in (FileReader, PackedFolder):
        with pytest.raises(ArchiveError, match=r"PART_00001\.ffr: "):
            reader(tmp_path)


MEASURE = """
import resource, sys
from ffrfs import ArchiveError
from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards

def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = peak_kib()
try:
    build(Shards(sys.argv[1]))
except ArchiveError:
    pass
print((peak_kib() - before) * 1024)
"""


@pytest.mark.semantics("memory-bound", "hostile")
@pytest.mark.parametrize("bomb", BOMBS)
def test_time_and_memory_stay_within_a_multiple_of_the_archive_s_size(tmp_path, bomb):
    archive = tmp_path / "bomb.ffr"
    archive.write_bytes(BOMBS[bomb](BOMB_BYTES))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, archive], capture_output=True, text=True, env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS)),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < BASE_BYTES + BYTES_PER_BYTE * archive.stat().st_size


@pytest.mark.semantics("memory-bound")
def test_a_header_that_memory_cannot_hold_is_an_error(tmp_path):
    """A sparse file, whose size says that a header of three gigabytes may be there."""
    archive = tmp_path / "sparse.ffr"
    archive.write_bytes(bytes(4) + (1 << 28).to_bytes(8, "little"))
    os.truncate(archive, 4 << 30)
    limit = 1 << 30
    done = ffrfs("ls", archive, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "are more than memory can hold" in done.stderr


@pytest.mark.semantics("hostile")
@pytest.mark.timeout(60)
def test_names_with_one_hash_are_found_as_quickly_as_others(tmp_path):
    archive = tmp_path / "colliding.ffr"
    archive.write_bytes(colliding_names(500_000))
    with PackedFolder(archive) as folder:
        names = folder.list()
        assert len(names) > 30_000
        assert all(folder.exists(name) for name in names)
        assert not any(folder.exists(f"{name}x") for name in names)


@pytest.fixture
def deepest(tmp_path):
    """A tree as deep as is allowed; folders so deep are too deep for Python to remove."""
    archive = tmp_path / "deep.ffr"
    archive.write_bytes(deep(MAX_DEPTH))
    yield archive
    subprocess.run(["rm", "-rf", tmp_path / "out"], check=True)


@pytest.mark.semantics("hostile")
def test_a_tree_as_deep_as_is_allowed_can_be_used(deepest, tmp_path):
    path = "/".join(["d"] * MAX_DEPTH + ["bottom"])
    with PackedFolder(deepest) as folder:
        assert str(folder.list(recursive=True, list_dir=False)[0]) == path
        assert folder.read_one(path).tobytes() == b"record"
    assert ffrfs("ls", "-R", deepest).stdout.splitlines()[-1] == path
    assert unpack(deepest, tmp_path / "out").files == 1


@pytest.mark.semantics("hostile")
def test_a_tree_as_deep_as_is_allowed_can_be_walked_when_mounted(deepest, mount):
    walked = subprocess.run(
        ["find", ".", "-type", "f", "-execdir", "cat", "{}", ";"],
        cwd=mount(deepest).path, capture_output=True, timeout=120,
    )  # fmt: skip
    assert (walked.stdout, walked.stderr) == (b"record", b"")
