"""What every way into an archive must do alike. A surface derives from `Conformance` and says how it does it.

As zarr's StoreTests: the tests are here, once; `test_surfaces` has the surfaces. What only one surface can do, such as
mmap or a list read as one batch, is tested with that surface.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ffrfs import ChecksumError
from tests.support.archives import Directory, files_of, write_archive
from tests.support.trees import content, nested

TREE: Directory = {
    b"sizes": {b"%d" % size: content(size) for size in (0, 1, 4095, 4096, 4097, 1 << 20, (1 << 20) + 1, 3 << 20)},
    b"names": {
        name: content(20, seed)
        for seed, name in enumerate(
            [
                b" ",
                b"a b",
                b"-",
                b"...",
                b".hidden",
                b"\\",
                b"\xff not UTF-8",
                "名前".encode(),
                b"x" * 255,
                b"*?[",
                b"#:@",
            ]
        )
    },
    b"deep": nested(30),
    b"wide": {b"%04d" % number: b"%d" % number for number in range(500)},
    b"empty": {},
    b"file": b"contents",
}
FILES = {os.fsdecode(path): contents for path, contents in files_of(TREE)}
FOLDERS = sorted({os.path.dirname(path) for path in FILES} | {"empty"})
DAMAGED = b"the one that was damaged"


class Surface:
    """One way into one archive; paths are relative to its root, str with surrogateescape."""

    def read(self, path: str) -> bytes:
        """The contents of a file. Raises: the built-in OSErrors; on damage, an error of `Conformance.damage`."""
        raise NotImplementedError

    def names(self, path: str) -> list[str]:
        """What is in a folder."""
        raise NotImplementedError

    def is_file(self, path: str) -> bool:
        raise NotImplementedError

    def is_folder(self, path: str) -> bool:
        raise NotImplementedError

    def write(self, path: str) -> None:
        """Try to make or change a file; raises an OSError with EROFS."""
        raise NotImplementedError


class Conformance:
    """The suite.

    Attributes: damage, what reading a damaged file raises; unwritable, paths that the surface must refuse to write;
    pickles, whether a surface can be handed to another process.
    """

    damage: type[Exception] = ChecksumError
    unwritable: tuple[str, ...] = ("file", "new")
    pickles = True

    @pytest.fixture
    def opened(self) -> Iterator[Callable[[Path], Surface]]:
        """A function that opens an archive; what it opens is closed after the test."""
        raise NotImplementedError

    @pytest.fixture
    def surface(self, opened: Callable[[Path], Surface], tmp_path: Path) -> Surface:
        return opened(write_archive(tmp_path / "archive.ffr", TREE))

    def test_every_file_has_its_bytes(self, surface: Surface) -> None:
        assert {path: surface.read(path) == contents for path, contents in FILES.items()} == dict.fromkeys(FILES, True)

    def test_every_folder_has_its_names(self, surface: Surface) -> None:
        for folder in FOLDERS:
            below = {path.removeprefix(f"{folder}/") for path in FILES if not folder or path.startswith(f"{folder}/")}
            expected = sorted({name.partition("/")[0] for name in below} | ({"empty"} if not folder else set()))
            assert sorted(surface.names(folder)) == expected, folder

    def test_files_and_folders_are_told_apart(self, surface: Surface) -> None:
        for path in ("file", "sizes/0", "names/.hidden", "names/\udcff not UTF-8"):
            assert (surface.is_file(path), surface.is_folder(path)) == (True, False), path
        for path in ("sizes", "empty", "deep/level0"):
            assert (surface.is_file(path), surface.is_folder(path)) == (False, True), path
        for path in ("missing", "sizes/missing", "file/below", "File", "y" * 255):
            assert (surface.is_file(path), surface.is_folder(path)) == (False, False), path

    @pytest.mark.parametrize("path", ["missing", "sizes/missing", "missing/below"])
    def test_what_is_not_there_cannot_be_read(self, surface: Surface, path: str) -> None:
        with pytest.raises(FileNotFoundError) as error:
            surface.read(path)
        assert error.value.errno == errno.ENOENT and path in str(error.value)

    def test_nothing_is_below_a_file(self, surface: Surface) -> None:
        with pytest.raises((NotADirectoryError, FileNotFoundError)):
            surface.read("file/below")

    def test_a_folder_cannot_be_read(self, surface: Surface) -> None:
        with pytest.raises(IsADirectoryError):
            surface.read("sizes")

    def test_what_is_not_there_cannot_be_listed(self, surface: Surface) -> None:
        with pytest.raises(FileNotFoundError):
            surface.names("missing")

    def test_a_damaged_file_is_never_given(self, opened: Callable[[Path], Surface], tmp_path: Path) -> None:
        archive = write_archive(tmp_path / "damaged.ffr", {b"good": b"good", b"bad": DAMAGED})
        archive.write_bytes(archive.read_bytes().replace(DAMAGED, DAMAGED[::-1]))
        surface = opened(archive)
        for _ in range(2):
            with pytest.raises(self.damage):
                surface.read("bad")
        assert surface.read("good") == b"good"

    def test_nothing_can_be_written(self, surface: Surface) -> None:
        for path in self.unwritable:
            with pytest.raises(OSError, match=r"[Rr]ead-only") as error:
                surface.write(path)
            assert error.value.errno == errno.EROFS

    def test_threads_read_at_once(self, surface: Surface) -> None:
        paths = list(FILES) * 2
        with ThreadPoolExecutor(8) as pool:
            right = pool.map(lambda path: surface.read(path) == FILES[path], paths)
            assert all(right)

    def test_a_forked_process_reads_on(self, surface: Surface) -> None:
        surface.read("file")
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(surface.read, ["file", "sizes/4097"] * 4) == [FILES["file"], FILES["sizes/4097"]] * 4

    def test_a_spawned_process_reads(self, surface: Surface) -> None:
        if not self.pickles:
            pytest.skip("this way is not handed to other processes")
        assert len(pickle.dumps(surface)) < 1000
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.map(surface.read, ["file"]) == [FILES["file"]]
