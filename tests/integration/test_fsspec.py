"""The file system `ffr` of fsspec: fsspec's own tests for reading, and the libraries that read through it."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests

from ffrfs import ChecksumError, ConfigError, ReadOnlyError, pack_folder
from ffrfs.fsspec import FfrFileSystem

NUMBERS = pd.DataFrame({"number": range(1000), "square": np.arange(1000) ** 2})


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of what fsspec's own tests want to find, and of tables."""
    folder = tmp_path_factory.mktemp("fsspec")
    source, disk, fixtures = folder / "source", LocalFileSystem(auto_mkdir=True), AbstractFixtures()
    fixtures._bulk_operations_scenario_0(disk, os.path.join, str(source / "bulk"))
    fixtures._glob_edge_cases_files(disk, os.path.join, str(source / "glob"))
    fixtures._dir_and_file_with_same_name_prefix(disk, os.path.join, str(source / "prefix"))
    fixtures._10_files_with_hashed_names(disk, os.path.join, str(source / "hashed"))
    disk.touch(str(source / "made/src/file"))
    (source / "tables/half=1").mkdir(parents=True)
    (source / "tables/half=2").mkdir()
    NUMBERS.to_csv(source / "tables.csv", index=False)
    NUMBERS[:500].to_parquet(source / "tables/half=1/part.parquet")
    NUMBERS[500:].to_parquet(source / "tables/half=2/part.parquet")
    pack_folder(source, folder / "archive.ffr")
    return folder / "archive.ffr"


@pytest.fixture
def fs(archive: Path) -> FfrFileSystem:
    return fsspec.filesystem("ffr", fo=archive)


class TestGet(AbstractFixtures, AbstractGetTests):
    """fsspec's suite for everything that `get` can be asked for; what it would create is in the archive already."""

    @pytest.fixture
    def fs(self, archive: Path) -> FfrFileSystem:
        fs = fsspec.filesystem("ffr", fo=archive)
        fs.mkdir = fs.touch = fs.info  # one test makes its files itself: here it finds them
        return fs

    @pytest.fixture
    def fs_path(self) -> str:
        return "made"

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self) -> str:
        return "bulk/source"

    @pytest.fixture
    def fs_glob_edge_cases_files(self) -> str:
        return "glob/source"

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self) -> str:
        return "prefix/source"

    @pytest.fixture
    def fs_10_files_with_hashed_names(self) -> str:
        return "hashed/source"


def test_chained_urls(archive: Path) -> None:
    with fsspec.open(f"ffr://tables.csv::{archive}") as file:
        assert file.readline() == b"number,square\n"
    with fsspec.open(f"ffr://tables.csv::file://{archive}", "rt") as file:
        assert file.readline() == "number,square\n"
    opened = fsspec.open_files(f"ffr://tables/*/part.parquet::{archive}")
    assert [file.path for file in opened] == ["tables/half=1/part.parquet", "tables/half=2/part.parquet"]


def test_the_protocol_is_known_without_an_import(archive: Path) -> None:
    """By the entry point, so where ffrfs is installed, not only on the path."""
    script = f"import fsspec; print(fsspec.open('ffr://tables.csv::{archive}', 'rt').open().readline())"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "number,square\n\n"


def test_info_and_listing_are_the_disk_s(fs: FfrFileSystem, archive: Path) -> None:
    disk, root = LocalFileSystem(), str(archive.with_name("source"))
    for path in ("", "bulk", "bulk/source/", "tables", "tables.csv", "glob/source/subdir0/nesteddir/nestedfile"):
        expected = [disk.info(entry) for entry in sorted(disk.ls(f"{root}/{path}", detail=False))]
        for found, wanted in zip(fs.ls(path), expected, strict=True):
            assert found["name"] == os.path.relpath(wanted["name"], root)
            assert found["type"] == wanted["type"]
            assert found["size"] == (wanted["size"] if wanted["type"] == "file" else 0)
        assert fs.isdir(path) is disk.isdir(f"{root}/{path}")
    below = [os.path.relpath(path, root) for path in disk.find(root)]
    assert fs.find("") == sorted(below)
    assert fs.glob("**/nested*") == sorted(path for path in fs.find("", withdirs=True) if "/nested" in path)
    assert fs.du("tables") == disk.du(f"{root}/tables")


@pytest.mark.parametrize(("start", "end"), [(None, None), (0, 6), (7, None), (-5, None), (3, -3), (10**6, None)])
def test_parts_of_files(fs: FfrFileSystem, archive: Path, start: int | None, end: int | None) -> None:
    content = archive.with_name("source").joinpath("tables.csv").read_bytes()
    assert fs.cat_file("tables.csv", start, end) == content[start:end]
    assert fs.cat_ranges(["tables.csv"], [start], [end]) == [content[start:end]]


def test_many_files_at_once(fs: FfrFileSystem) -> None:
    names = sorted(fs.ls("hashed/source", detail=False))
    contents = fs.cat(names)
    assert sorted(contents) == names
    assert sorted(contents.values()) == [b"%d" % number for number in range(10)]


def test_pickles(fs: FfrFileSystem) -> None:
    assert pickle.loads(pickle.dumps(fs)).cat("tables.csv") == fs.cat("tables.csv")


def test_pandas(archive: Path) -> None:
    pd.testing.assert_frame_equal(pd.read_csv(f"ffr://tables.csv::{archive}"), NUMBERS)
    pd.testing.assert_frame_equal(pd.read_parquet(f"ffr://tables/half=1/part.parquet::{archive}"), NUMBERS[:500])


def test_pyarrow(fs: FfrFileSystem) -> None:
    table = pyarrow.dataset.dataset("tables", filesystem=fs, partitioning="hive").to_table()
    assert table.column("square").to_pylist() == NUMBERS["square"].tolist()
    assert set(table.column("half").to_pylist()) == {1, 2}
    wrapped = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs))
    assert pyarrow.parquet.read_metadata("tables/half=2/part.parquet", filesystem=wrapped).num_rows == 500


def test_an_archive_that_must_be_fetched_first(archive: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(archive), "/archive.ffr")
    with fsspec.open(
        "ffr://tables.csv::simplecache::memory://archive.ffr", simplecache={"cache_storage": str(tmp_path)}
    ) as file:
        assert file.readline() == b"number,square\n"
    with fsspec.open("ffr://tables.csv::memory://archive.ffr") as file:
        assert file.readline() == b"number,square\n"
    with pytest.raises(ConfigError, match="ffr://path::simplecache::memory://"):
        fsspec.open("ffr://tables.csv::memory://archive.ffr", memory={"anything": True}).open()
    memory.rm("/archive.ffr")


def test_errors(fs: FfrFileSystem, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs the archive"):
        fsspec.filesystem("ffr")
    with pytest.raises(FileNotFoundError, match=r"missing\.ffr"):
        fsspec.filesystem("ffr", fo="missing.ffr")
    for read in (fs.cat_file, fs.info, fs.ls, fs.open):
        with pytest.raises(FileNotFoundError, match=r"archive\.ffr/bulk/none"):
            read("bulk/none")
    with pytest.raises(FileNotFoundError):
        fs.info("../archive.ffr")
    with pytest.raises(NotADirectoryError):
        fs.ls("tables.csv/below")
    damaged = Path(shutil.copy(archive, tmp_path / "damaged.ffr"))
    content = bytearray(damaged.read_bytes())
    content[content.index(b"number,square")] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ChecksumError, match=r"tables\.csv"):
        fsspec.open(f"ffr://tables.csv::{damaged}").open()
    assert fsspec.filesystem("ffr", fo=damaged, check_data=False).cat_file("tables.csv", 1, 6) == b"umber"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("open", ("new", "wb")),
        ("open", ("tables.csv", "ab")),
        ("pipe", ("new", b"")),
        ("touch", ("new",)),
        ("mkdir", ("new",)),
        ("makedirs", ("new/newer",)),
        ("rm", ("tables.csv",)),
        ("rmdir", ("tables",)),
        ("mv", ("tables.csv", "new")),
        ("copy", ("tables.csv", "new")),
        ("put", (__file__, "new")),
    ],
)
def test_writing_is_refused(fs: FfrFileSystem, method: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ReadOnlyError, match="read-only"):
        getattr(fs, method)(*arguments)


@pytest.mark.parametrize("spelled", ["d", "/d", "//d//", "./d", "d/."])
def test_a_path_has_one_spelling(tmp_path: Path, spelled: str) -> None:
    """Callers make files on disk, keys and patterns out of the names that they get."""
    (tmp_path / "s" / "d" / "e").mkdir(parents=True)
    (tmp_path / "s" / "d" / "e" / "x").write_text("x")
    pack_folder(tmp_path / "s", tmp_path / "a.ffr")
    archive = fsspec.filesystem("ffr", fo=str(tmp_path / "a.ffr"))
    assert archive.info(spelled)["name"] == "d"
    assert archive.find(spelled) == ["d/e/x"] == archive.glob(f"{spelled}/**/x")
    assert archive._strip_protocol([spelled, "d//e"]) == ["d", "d/e"]
    archive.get(spelled, str(tmp_path / "out"), recursive=True)
    assert (tmp_path / "out" / "e" / "x").read_text() == "x"
