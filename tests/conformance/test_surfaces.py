"""The surfaces that run the suite: in process, mounted, OpenMMLab's backend, fsspec, detectron2's path handler."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from iopath.common.file_io import PathManager

from ffrfs import PackedFolder
from ffrfs.detectron2 import register_ffrecord_handler
from ffrfs.fsspec import FfrFileSystem
from ffrfs.mm import FFRecordClient
from tests.conformance.suite import Conformance, Surface
from tests.support.mounts import Mounted


class InProcess(Surface):
    def __init__(self, archive: Path) -> None:
        self.folder = PackedFolder(archive)

    def read(self, path: str) -> bytes:
        return self.folder.read_one(path).tobytes()

    def names(self, path: str) -> list[str]:
        return list(map(str, self.folder.list(path)))

    def is_file(self, path: str) -> bool:
        return self.folder.is_file(path)

    def is_folder(self, path: str) -> bool:
        return self.folder.is_dir(path)


class TestInProcess(Conformance):
    unwritable = ()  # there is nothing to write with

    @pytest.fixture
    def opened(self) -> Callable[[Path], Surface]:
        return InProcess


class OnDisk(Surface):
    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def names(self, path: str) -> list[str]:
        return os.listdir(self.root / path)

    def is_file(self, path: str) -> bool:
        return (self.root / path).is_file()

    def is_folder(self, path: str) -> bool:
        return (self.root / path).is_dir()

    def write(self, path: str) -> None:
        (self.root / path).write_bytes(b"new")


class TestMount(Conformance):
    damage = OSError

    @pytest.fixture
    def opened(self, mount: Callable[..., Mounted]) -> Callable[[Path], Surface]:
        def mount_it(archive: Path) -> Surface:
            mounted = mount(archive)
            mounted.tolerated.append("the archive is damaged there|was found damaged before")
            return OnDisk(mounted.path)

        return mount_it


class OpenMMLab(Surface):
    def __init__(self, archive: Path) -> None:
        self.client = FFRecordClient(archive, "data/set")

    def read(self, path: str) -> bytes:
        return self.client.get(f"data/set/{path}")

    def names(self, path: str) -> list[str]:
        hidden = [".hidden", "..."] if path == "names" else []  # which the frameworks' listings leave out
        return [*self.client.list_dir_or_file(f"data/set/{path}"), *hidden]

    def is_file(self, path: str) -> bool:
        return self.client.isfile(f"data/set/{path}")

    def is_folder(self, path: str) -> bool:
        return self.client.isdir(f"data/set/{path}")

    def write(self, path: str) -> None:
        self.client.put(b"new", f"data/set/{path}")


class TestOpenMMLab(Conformance):
    @pytest.fixture
    def opened(self) -> Callable[[Path], Surface]:
        return OpenMMLab


class Fsspec(Surface):
    def __init__(self, archive: Path) -> None:
        self.fs = FfrFileSystem(fo=str(archive))

    def read(self, path: str) -> bytes:
        with self.fs.open(path) as file:
            return file.read()

    def names(self, path: str) -> list[str]:
        return [os.path.basename(entry["name"]) for entry in self.fs.ls(path)]

    def is_file(self, path: str) -> bool:
        return self.fs.isfile(path)

    def is_folder(self, path: str) -> bool:
        return self.fs.isdir(path)

    def write(self, path: str) -> None:
        self.fs.pipe_file(path, b"new")


class TestFsspec(Conformance):
    @pytest.fixture
    def opened(self) -> Callable[[Path], Surface]:
        return Fsspec


class Detectron2(Surface):
    def __init__(self, archive: Path, shown: Path) -> None:
        self.manager, self.shown = PathManager(), shown
        register_ffrecord_handler(archive, local_prefix=str(shown), path_manager=self.manager)

    def read(self, path: str) -> bytes:
        with self.manager.open(f"{self.shown}/{path}", "rb") as file:
            return file.read()

    def names(self, path: str) -> list[str]:
        return self.manager.ls(f"{self.shown}/{path}")

    def is_file(self, path: str) -> bool:
        return self.manager.isfile(f"{self.shown}/{path}")

    def is_folder(self, path: str) -> bool:
        return self.manager.isdir(f"{self.shown}/{path}")

    def write(self, path: str) -> None:
        self.manager.open(f"{self.shown}/{path}", "wb")


class TestDetectron2(Conformance):
    unwritable = ("file",)  # what the archive does not have is the disk's
    pickles = False  # detectron2's managers are not handed to other processes

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Callable[[Path], Surface]:
        return lambda archive: Detectron2(archive, tmp_path / "shown")
