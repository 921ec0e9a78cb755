"""FileWriter: the same bytes as the reference, and no archive unless all of it is there."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ffrfs import ConfigError, FileReader, FileWriter, PackError
from tests.support.reference_packer import archive_of

VECTORS = Path(__file__).parent.parent / "data" / "vectors"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.ffr"


def folder_of(path):
    return sorted(os.listdir(path.parent))


def test_the_reference_archive_is_written_byte_for_byte(out):
    with FileReader(VECTORS / "records.ffr") as reader, FileWriter(out, reader.n) as writer:
        writer.write(reader.read(range(reader.n)))
    assert out.read_bytes() == (VECTORS / "records.ffr").read_bytes()


@pytest.mark.parametrize(
    "record",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"memoryview"),
        np.arange(100, dtype=np.uint8),
        np.arange(12.0).reshape(3, 4),
        np.empty((0, 3)),
        b"",
        bytes(3_000_000),
    ],
    ids=["bytes", "bytearray", "memoryview", "uint8", "float64", "empty-array", "empty", "larger-than-the-buffer"],
)
def test_a_record_is_anything_contiguous(out, record):
    with FileWriter(str(out), 3) as writer:
        writer.write_one(b"before")
        writer.write_one(record)
        writer.write_one(b"after")
    assert out.read_bytes() == archive_of([b"before", bytes(memoryview(record).tobytes()), b"after"])


@pytest.mark.parametrize("record", ["text", 7, None, np.arange(10)[::2]], ids=["str", "int", "None", "strided"])
def test_what_is_not_contiguous_bytes_is_a_type_error(out, record):
    with pytest.raises((TypeError, BufferError, ValueError)), FileWriter(out, 1) as writer:
        writer.write_one(record)
    assert folder_of(out) == []


def test_a_buffer_may_be_used_again_after_write_one(out):
    buffer = bytearray(b"first!")
    with FileWriter(out, 2) as writer:
        writer.write_one(buffer)
        buffer[:] = b"second"
        writer.write_one(buffer)
    assert out.read_bytes() == archive_of([b"first!", b"second"])


def test_an_archive_without_records(out):
    FileWriter(out, 0).close()
    assert out.read_bytes() == archive_of([])


def test_records_of_all_sizes_around_the_buffer(out):
    sizes = [0, 1, (1 << 20) - 1, 1, 1 << 20, (1 << 20) + 1, 5, 3 << 20, 0]
    records = [os.urandom(size) for size in sizes]
    with FileWriter(out, len(records)) as writer:
        writer.write(records)
        assert writer.count == writer.n == len(records)
    assert out.read_bytes() == archive_of(records)


def test_fewer_records_than_promised_leave_no_archive(out):
    writer = FileWriter(out, 2)
    writer.write_one(b"one")
    with pytest.raises(PackError, match=r"out\.ffr: closed after 1 records where 2 were promised"):
        writer.close()
    assert folder_of(out) == []
    writer.close()


def test_more_records_than_promised_are_refused(out):
    with FileWriter(out, 1) as writer:
        writer.write_one(b"one")
        for record in (b"two", b""):
            with pytest.raises(PackError, match="all of the 1 records promised"):
                writer.write_one(record)
    assert out.read_bytes() == archive_of([b"one"])
    with pytest.raises(PackError, match="all of the 1 records promised"), FileWriter(out, 1) as writer:
        writer.write([b"one", b"two"])
    assert out.read_bytes() == archive_of([b"one"])


def test_a_record_needs_its_bytes(out):
    writer = FileWriter(out, 1)
    writer.put(b"ab")
    with pytest.raises(PackError, match="3 bytes, of which 2 were put"):
        writer.end_record(3, 0)
    with pytest.raises(PackError, match="closed after 0 records"):
        writer.close()
    assert folder_of(out) == []


def write_and_raise(out, error):
    with FileWriter(out, 1) as writer:
        writer.write_one(bytes(5_000_000))
        assert len(folder_of(out)) == 1
        raise error


def test_an_exception_in_the_block_leaves_nothing(out):
    with pytest.raises(KeyboardInterrupt):
        write_and_raise(out, KeyboardInterrupt)
    assert folder_of(out) == []


def test_what_was_there_stays_until_the_new_archive_is_whole(out):
    out.write_bytes(b"old")
    with FileWriter(out, 1) as writer:
        writer.write_one(b"new")
        assert out.read_bytes() == b"old"
    assert out.read_bytes() == archive_of([b"new"])
    assert folder_of(out) == ["out.ffr"]


def test_a_writer_that_is_dropped_with_all_records_written_finishes(out):
    writer = FileWriter(out, 1)
    writer.write_one(b"x")
    del writer  # CPython collects it here
    assert out.read_bytes() == archive_of([b"x"])
    assert folder_of(out) == ["out.ffr"]


def test_a_writer_that_is_dropped_too_early_leaves_nothing_and_says_what_is_missing(out):
    writer = FileWriter(out, 2)
    writer.write_one(b"x")
    with pytest.warns(UserWarning, match=r"out\.ffr: closed after 1 records where 2 were promised; .* never closed"):
        del writer
    assert folder_of(out) == []


NEVER_CLOSED = """
import sys
from ffrfs import FileWriter
class Converter:
    def __init__(self):
        self.me = self  # a cycle, which only the collector would find
        self.writer = FileWriter(sys.argv[1], 2)
converter = Converter()
for _ in range(int(sys.argv[2])):
    converter.writer.write_one(b"x")
if len(sys.argv) > 3:
    raise SystemExit(3)
"""


def end_without_close(out, *arguments):
    return subprocess.run([sys.executable, "-c", NEVER_CLOSED, out, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("ending", [(), ("exit",)], ids=["end", "exit"])
def test_a_writer_that_is_never_closed_finishes_when_python_ends(out, ending):
    done = end_without_close(out, "2", *ending)
    assert (done.returncode, done.stderr) == (3 if ending else 0, "")
    assert out.read_bytes() == archive_of([b"x", b"x"])


def test_a_writer_that_is_never_closed_says_at_the_end_what_is_missing(out):
    done = end_without_close(out, "1")
    assert "closed after 1 records where 2 were promised" in done.stderr and "Traceback" not in done.stderr
    assert folder_of(out) == []


def test_a_writer_that_is_never_closed_says_that_the_disk_is_full(small_disk):
    writer = FileWriter(small_disk / "out.ffr", 10)
    for _ in range(10):  # the last stays in the buffer
        writer.write_one(bytes(900_000))
    with pytest.warns(UserWarning, match="No space left"):
        del writer
    assert os.listdir(small_disk) == []


FORKED_AND_DROPPED = """
import os, sys
from ffrfs import FileWriter
writer = FileWriter(sys.argv[1], 1)
writer.write_one(b"x")
if os.fork() == 0:
    sys.exit()
os.wait()
assert not os.path.exists(sys.argv[1])
"""


def test_a_forked_child_does_not_finish_its_parents_archive(out):
    subprocess.run([sys.executable, "-c", FORKED_AND_DROPPED, out], check=True)
    assert out.read_bytes() == archive_of([b"x"])


def test_writing_after_close_is_an_error(out):
    writer = FileWriter(out, 1)
    writer.write_one(b"x")
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write_one(b"y")


@pytest.mark.parametrize("name", ["out", "out.ffr.tmp", ".ffr", "out.FFR"])
def test_the_name_must_end_in_ffr(tmp_path, name):
    with pytest.raises(ConfigError, match=r"must end in \.ffr"):
        FileWriter(tmp_path / name, 1)


def test_targets_that_cannot_be(tmp_path):
    (tmp_path / "folder.ffr").mkdir()
    with pytest.raises(IsADirectoryError):
        FileWriter(tmp_path / "folder.ffr", 1)
    with pytest.raises(FileNotFoundError) as error:
        FileWriter(tmp_path / "nowhere" / "out.ffr", 1)
    assert error.value.filename == str(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="-1 records"):
        FileWriter(tmp_path / "out.ffr", -1)


def test_the_longest_name_that_there_can_be(tmp_path):
    out = tmp_path / ("é" * 125 + "x.ffr")
    with FileWriter(out, 1) as writer:
        writer.write_one(b"x")
    assert folder_of(out) == [out.name]


def test_a_relative_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with FileWriter("out.ffr", 1) as writer:
        writer.write_one(b"x")
    assert os.listdir() == ["out.ffr"]


def test_modes_follow_the_umask(out):
    before = os.umask(0o027)
    try:
        FileWriter(out, 0).close()
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o640


KILLED = """
import os, signal, sys
from ffrfs import FileWriter
writer = FileWriter(sys.argv[1], 2)
writer.write_one(bytes(5_000_000))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_writer_removes_what_a_killed_one_left(out):
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", KILLED, out]).returncode == -signal.SIGKILL
        (litter,) = folder_of(out)
        assert litter.startswith(".out.ffr.") and litter.endswith(".tmp")
    (out.parent / ".out.ffr.user.tmp").touch()
    with FileWriter(out, 1) as writer:
        writer.write_one(b"x")
    assert folder_of(out) == [".out.ffr.user.tmp", "out.ffr"]


def test_two_live_writers_leave_each_other_alone(out):
    with FileWriter(out, 1) as first:
        with FileWriter(out, 1) as second:
            assert len(folder_of(out)) == 2
            second.write_one(b"second")
        first.write_one(b"first")
    assert out.read_bytes() == archive_of([b"first"])
    assert folder_of(out) == ["out.ffr"]


FORKED = """
import os, sys
from ffrfs import FileWriter
writer = FileWriter(sys.argv[1], 1)
if os.fork() == 0:
    writer.abort()
    os._exit(0)
os.wait()
writer.write_one(b"x")
writer.close()
"""


def test_a_forked_child_does_not_take_the_file_away(out):
    subprocess.run([sys.executable, "-c", FORKED, out], check=True)
    assert out.read_bytes() == archive_of([b"x"])


def test_a_full_disk_is_an_error_with_the_name_and_leaves_nothing(small_disk):
    out = small_disk / "out.ffr"
    with pytest.raises(OSError, match="No space left") as error, FileWriter(out, 1) as writer:
        writer.write_one(bytes(20_000_000))
    assert error.value.filename == str(out)
    assert os.listdir(small_disk) == []
