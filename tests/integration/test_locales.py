"""Names are bytes, from the first system call to the archive and back: no locale changes them."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.reference_packer import reference_archive

NAMES = [b"plain.txt", b"\xe4\xb8\xad\xe6\x96\x87.txt", b"\xc3\xa4.txt", b"\xb0\xa1.txt", b"\xff\xfe", b"\xe9", b"~"]
LOCALES = {
    "C": {"LC_ALL": "C"},
    "C without Python's UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "GBK": {"LC_ALL": "zh_CN.GBK"},
    "ISO-8859-1": {"LC_ALL": "de_DE.ISO-8859-1"},
}

pytestmark = pytest.mark.semantics("locale-names")


@pytest.fixture(scope="module")
def locales(tmp_path_factory):
    """A folder with locales whose encoding is not UTF-8, for LOCPATH."""
    folder = tmp_path_factory.mktemp("locales")
    for name in ("zh_CN.GBK", "de_DE.ISO-8859-1"):
        language, _, encoding = name.partition(".")
        command = ["localedef", "-i", language, "-f", encoding, str(folder / name)]
        subprocess.run(command, check=False, capture_output=True)  # a warning is a failure to it
        assert (folder / name / "LC_CTYPE").exists(), f"no locale {name}: install the package locales"
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with names that are UTF-8, GBK, Latin-1, or no text at all."""
    folder = os.fsencode(tmp_path_factory.mktemp("source"))
    os.mkdir(os.path.join(folder, NAMES[1][:6]))
    for name in [*NAMES, *(os.path.join(NAMES[1][:6], name) for name in NAMES)]:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"contents of " + name)
    return Path(os.fsdecode(folder))


@pytest.fixture(params=LOCALES)
def run(request, locales, tmp_path):
    """A function that runs Python in a locale."""
    environment = {**os.environ, "LOCPATH": str(locales), **LOCALES[request.param]}

    def run(*arguments, status=0):
        command = [sys.executable, *(os.fsencode(argument) for argument in arguments)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True)
        assert done.returncode == status, done
        assert b"Traceback" not in done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("how", [["single.ffr"], ["--shards", "3", "shards"]], ids=["single", "shards"])
def test_packing_makes_the_same_bytes(run, source, tmp_path, how):
    *options, out = how
    run("-m", "ffrfs", "pack", "-v", "--no-index", *options, source, out)
    if not options:
        assert (tmp_path / out).read_bytes() == reference_archive(source)
    run("-m", "ffrfs", "unpack", out, "unpacked")
    assert subprocess.run(["diff", "-r", source, tmp_path / "unpacked"]).returncode == 0


def test_packing_a_folder_of_such_a_name_into_another(run, source, tmp_path):
    name = b"\xd6\xd0\xe4\xb8\xad\xff"
    shutil.copytree(os.fsencode(source), os.path.join(os.fsencode(tmp_path), name))
    run("-m", "ffrfs", "pack", name, name + b".ffr")
    assert Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name + b".ffr"))).read_bytes() == reference_archive(
        source
    )


def test_commands_that_take_and_show_names(run, source, tmp_path):
    (tmp_path / "a.ffr").write_bytes(reference_archive(source))
    assert len(run("-m", "ffrfs", "ls", "-R", "a.ffr").splitlines()) == 2 * len(NAMES) + 1
    run("-m", "ffrfs", "ls", "-l", "a.ffr", NAMES[1])
    json = run("-m", "ffrfs", "ls", "--json", "a.ffr", NAMES[1])
    assert json.startswith(b'{"name": "\\u4e2d\\u6587.txt", "type": "file"')
    for name in (NAMES[1], NAMES[4]):
        assert run("-m", "ffrfs", "cat", "a.ffr", name) == b"contents of " + name
        run("-m", "ffrfs", "unpack", "-f", "a.ffr", "some", name)
        with open(os.path.join(os.fsencode(tmp_path), b"some", name), "rb") as file:
            assert file.read() == b"contents of " + name
    run("-m", "ffrfs", "cat", "a.ffr", b"no\xe4\xb8\xad\xff", status=1)
    run("-m", "ffrfs", "unpack", "--to", "tar", "a.ffr", "a.tar")
    with tarfile.open(tmp_path / "a.tar", encoding="utf-8", errors="surrogateescape") as tar:
        names = {name.encode("utf-8", "surrogateescape") for name in tar.getnames()}
    assert set(NAMES) < names and len(names) == 2 * len(NAMES) + 1
    run("-m", "ffrfs", "pack", "--no-index", "a.tar", "again.ffr")
    run("-m", "ffrfs", "unpack", "again.ffr", "again")
    assert subprocess.run(["diff", "-r", source, tmp_path / "again"]).returncode == 0


READERS = """
import os, sys
from pathlib import Path
from ffrfs import PackedFolder
from ffrfs.detectron2 import FFRecordPathHandler
from ffrfs.fsspec import FfrFileSystem
from ffrfs.mm import FFRecordClient
name, data = "\\u4e2d\\u6587.txt", "contents of \\u4e2d\\u6587.txt".encode()
with PackedFolder("a.ffr") as folder:
    assert folder.read_one(name).tobytes() == data
    assert {name, "\\xe4.txt", "\\udcff\\udcfe"} < set(folder.list(list_dir=False)), folder.list()
    assert all(folder.is_file(path) for path in folder.list(list_dir=False, recursive=True))
client = FFRecordClient("a.ffr", path_prefix="data")
assert client.get(f"data/{name}") == data and client.isfile(f"data/{name}")
with client.get_local_path(f"data/{name}") as path:
    assert Path(path).read_bytes() == data
os.mkdir("copies")
assert Path(client.copyfile_to_local(f"data/{name}", "copies")).read_bytes() == data
client.copytree_to_local("data", "tree")
assert FfrFileSystem("a.ffr").cat_file(name) == data
handler = FFRecordPathHandler("a.ffr", "data")
assert Path(handler._get_local_path(f"data/{name}")).read_bytes() == data
"""


def test_readers_in_process(run, source, tmp_path):
    (tmp_path / "a.ffr").write_bytes(reference_archive(source))
    run("-c", READERS)
    assert subprocess.run(["diff", "-r", source, tmp_path / "tree"]).returncode == 0
    assert os.listdir(os.fsencode(tmp_path / "copies")) == [NAMES[1]]
