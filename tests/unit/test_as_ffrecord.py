"""Scripts written for HFAiLab/ffrecord run unchanged, in one process and in those that it starts."""

import contextlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ffrfs
from ffrfs import ChecksumError, ConfigError, FormatError, RecordIndexError, TruncatedError, install_as_ffrecord
from tests.support.archives import archive_of, write_archive


@pytest.fixture
def ffrecord():
    """The module by that name, and afterwards none."""
    install_as_ffrecord()
    try:
        import ffrecord

        yield ffrecord
    finally:
        sys.path.remove(os.path.dirname(os.path.dirname(ffrecord.__file__)))
        for name in [name for name in sys.modules if name.split(".")[0] == "ffrecord"]:
            del sys.modules[name]


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "records.ffr"
    path.write_bytes(archive_of([b"zero", b"one", b"two", b"three"]))
    return path


@pytest.fixture
def packed(tmp_path):
    return write_archive(tmp_path / "packed.ffr", {b"a": b"ay", b"sub": {b"b": b"bee"}})


def run(*arguments, **options):
    command = [sys.executable, "-m", "ffrfs.as_ffrecord", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_every_import_of_public_scripts_works(ffrecord):
    from ffrecord import FileReader, FileWriter, PackedFolder, checkFsAlign, pack_folder, utils
    from ffrecord.fileio import FileReader as Reader
    from ffrecord.package import PackedFolder as Folder
    from ffrecord.utils import checkFsAlign as check
    from ffrecord.utils import dump

    assert (Reader, Folder, check, dump) == (FileReader, PackedFolder, checkFsAlign, utils.dump)
    assert issubclass(FileReader, ffrfs.FileReader) and issubclass(FileWriter, ffrfs.FileWriter)
    assert ffrecord.__version__ == f"1.4.0+ffrfs.{ffrfs.__version__}"
    assert pack_folder.__name__ == "pack_folder"
    install_as_ffrecord()
    assert sum(path.endswith("as_ffrecord/path") for path in sys.path) == 1


def test_the_reference_that_is_imported_already_is_not_replaced(tmp_path):
    (tmp_path / "ffrecord.py").touch()
    script = "import ffrecord, ffrfs\ntry: ffrfs.install_as_ffrecord()\nexcept ffrfs.ConfigError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert "ffrecord is imported already, from" in done.stdout and done.stderr == ""


def test_another_ffrecord_that_is_installed_comes_second(tmp_path):
    (tmp_path / "ffrecord.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "script.py").write_text("import ffrecord; print(ffrecord.FileReader.__module__)")
    assert run("script.py", cwd=tmp_path).stdout == "ffrfs.as_ffrecord.classes\n"


def damaged(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    return path


def test_errors_of_the_archive_are_runtime_errors_too(ffrecord, records):
    with ffrecord.FileReader(damaged(records, -1)) as reader:
        for read in (lambda: reader.read_one(3), lambda: reader.read([0, 3])):
            with pytest.raises(RuntimeError, match=r"records\.ffr: record 3") as error:
                read()
            assert isinstance(error.value, ChecksumError) and error.value.record == 3
            copy = pickle.loads(pickle.dumps(error.value))
            assert type(copy) is type(error.value) and str(copy) == str(error.value)
        with pytest.raises(RuntimeError, match="record 4 is outside") as error:
            reader.read_one(4)
        assert isinstance(error.value, RecordIndexError)
    with pytest.raises(RuntimeError, match="closed"):
        reader.read([0])
    with pytest.raises(RuntimeError, match="header's checksum") as error:
        ffrecord.FileReader(damaged(records, 0))
    assert isinstance(error.value, FormatError)
    os.truncate(records, 20)
    with pytest.raises(RuntimeError) as error:
        ffrecord.FileReader(records)
    assert isinstance(error.value, TruncatedError)


def test_paths_that_do_not_exist_are_assertion_errors_too(ffrecord, packed, tmp_path):
    with pytest.raises(AssertionError) as error:
        ffrecord.FileReader(tmp_path / "nowhere.ffr")
    assert isinstance(error.value, FileNotFoundError) and error.value.filename == str(tmp_path / "nowhere.ffr")
    with ffrecord.PackedFolder(packed) as folder:
        wrong = [
            (lambda: folder.read_one("x"), FileNotFoundError),
            (lambda: folder.read(["a", "sub"]), IsADirectoryError),
            (lambda: folder.list("a"), NotADirectoryError),
            (lambda: folder.size("x"), FileNotFoundError),
        ]
        for call, kind in wrong:
            with pytest.raises(AssertionError) as error:
                call()
            assert isinstance(error.value, kind)
    with pytest.raises(AssertionError) as error:
        ffrecord.FileWriter(tmp_path / "out", 1)
    assert isinstance(error.value, ConfigError)


def test_records_without_a_tree_are_a_value_error_too(ffrecord, records):
    with pytest.raises(ValueError, match="no packed folder"):
        ffrecord.PackedFolder(records)


def test_a_writer_that_is_given_a_wrong_number_raises_runtime_errors(ffrecord, tmp_path):
    writer = ffrecord.FileWriter(tmp_path / "out.ffr", 1)
    with pytest.raises(RuntimeError, match="0 records where 1"):
        writer.close()
    with ffrecord.FileWriter(tmp_path / "out.ffr", 1) as writer:
        writer.write_one(b"x")
        with pytest.raises(RuntimeError, match="all of the 1 records"):
            writer.write_one(b"y")


def test_wrong_types_are_type_errors_as_ever(ffrecord, records, packed):
    with pytest.raises(TypeError):
        ffrecord.FileReader(records).read_one("1")
    with pytest.raises(TypeError):
        ffrecord.PackedFolder(packed).read("a")


def test_readers_pickle_as_what_they_are(ffrecord, records, packed):
    for made in (ffrecord.FileReader(records), ffrecord.PackedFolder(packed)):
        copy = pickle.loads(pickle.dumps(made))
        assert type(copy) is type(made)
    assert copy.read_one("a").tobytes() == b"ay"


def test_no_file_system_here_is_high_flyers(ffrecord, records):
    with open(records) as file:
        assert ffrecord.checkFsAlign(file.fileno()) is False


@pytest.mark.parametrize(("count", "files"), [(200, 1), (200, 8), (200, 64), (5, 2)])
def test_a_data_set_is_dumped_to_files(ffrecord, tmp_path, count, files):
    data = [pickle.dumps(number) for number in range(count)]
    out = tmp_path / ("out.ffr" if files == 1 else "out")
    with pytest.warns(match="200 records make 50 files, not 64") if files == 64 else contextlib.nullcontext():
        ffrecord.utils.dump(data, out, files)
    with ffrecord.FileReader(out) as reader:
        assert [pickle.loads(record) for record in reader.read(range(reader.n))] == list(range(count))
    if files > 1:
        assert sorted(os.listdir(out))[0] == "PART_00000.ffr" and len(os.listdir(out)) <= files


def test_a_dump_shows_its_progress(ffrecord, tmp_path, capfd):
    ffrecord.utils.dump([b"x"], tmp_path / "out.ffr", 1, verbose=True)
    assert "out.ffr" in capfd.readouterr().out


def test_a_dump_that_fails_says_so(ffrecord, tmp_path, capfd):
    with pytest.raises(RuntimeError, match=r"1 of 2 files are not written: .*PART_00001\.ffr"):
        ffrecord.utils.dump([b"x", "no bytes"], tmp_path / "out", 2)
    assert "TypeError" in capfd.readouterr().err
    assert os.listdir(tmp_path / "out") == ["PART_00000.ffr"]


SPAWNING = """
import multiprocessing, sys
from ffrecord import FileReader
import ffrecord.utils

class Dataset:
    def __init__(self, path):
        self.reader = FileReader(path)
    def length(self, number):
        return len(self.reader.read_one(number))

if __name__ == "__main__":
    path, method = sys.argv[1:]
    with multiprocessing.get_context(method).Pool(1) as pool:
        print(pool.map(Dataset(path).length, range(4)), sys.argv[0])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_script_runs_unchanged_with_processes_of_every_kind(records, tmp_path, method):
    script = tmp_path / "folder" / "script.py"
    script.parent.mkdir()
    script.write_text("import beside\n" + SPAWNING)
    (script.parent / "beside.py").touch()
    done = run(script, records, method)
    assert (done.stdout, done.stderr) == (f"[4, 3, 3, 5] {script}\n", "")


def test_programs_that_a_script_starts_find_it_too(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import subprocess, sys; subprocess.run([sys.executable, '-c', 'import ffrecord; print(1)'])")
    assert run(script).stdout == "1\n"


CONVERTER = """
import pickle, sys
from ffrecord import FileWriter
writer = FileWriter(sys.argv[1], 3)
for number in range(3):
    writer.write_one(pickle.dumps(number))
"""


def test_a_converter_that_never_closes_its_writer(tmp_path):
    script, out = tmp_path / "convert.py", tmp_path / "out.ffr"
    script.write_text(CONVERTER)
    done = run(script, out)
    assert (done.returncode, done.stderr) == (0, "")
    with ffrfs.FileReader(out) as reader:
        assert [pickle.loads(record) for record in reader.read([0, 1, 2])] == [0, 1, 2]


def test_the_scripts_exit_status_and_traceback_are_its_own(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nif sys.argv[1:]: sys.exit(7)\nraise KeyError('mine')")
    assert run(script, "x").returncode == 7
    done = run(script)
    assert done.returncode == 1 and f'File "{script}", line 3' in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",), ("nowhere.py",)], ids=["none", "option", "missing"])
def test_without_a_script_there_is_one_line(arguments):
    done = run(*arguments)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_nothing_of_it_is_imported_until_it_is_asked_for():
    code = "import ffrfs, sys; ffrfs.install_as_ffrecord(); print([m for m in sys.modules if 'torch' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_records_are_arrays_as_the_references_are(ffrecord, records):
    reader = ffrecord.FileReader(str(records), check_data=True)
    (first, second), third = reader.read([0, 1]), reader.read_one(2)
    assert all(isinstance(data, np.ndarray) and data.dtype == np.uint8 for data in (first, second, third))
    assert reader.fnames == [str(records)] and reader.n == 4 and reader.check_data is True
    assert Path(reader.fnames[0]).stat().st_size == reader.get_offsets(0)[-1]
