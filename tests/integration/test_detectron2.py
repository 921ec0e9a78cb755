"""The path handler for detectron2, through iopath as detectron2 uses it (detectron2 itself has no wheel)."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from iopath.common.file_io import PathManager, g_pathmgr
from PIL import Image

from ffrfs import ReadOnlyError, pack_folder
from ffrfs.detectron2 import FFRecordPathHandler, register_ffrecord_handler
from tests.support.photos import build_coco

PHOTO = "datasets/coco/train2017/000000000001.jpg"
INSTANCES = "datasets/coco/annotations/instances_train2017.json"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with coco/ and coco.ffr."""
    folder = tmp_path_factory.mktemp("packed")
    build_coco(folder / "coco", 4, 2, size=(320, 240))
    pack_folder(folder / "coco", folder / "coco.ffr")
    return folder


@pytest.fixture
def manager(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PathManager:
    """A manager in a folder that has datasets/coco/coco.ffr, where High-Flyer's users keep it, and nothing else."""
    (tmp_path / "datasets/coco").mkdir(parents=True)
    shutil.copy(packed / "coco.ffr", tmp_path / "datasets/coco/coco.ffr")
    monkeypatch.chdir(tmp_path)
    manager = PathManager()
    register_ffrecord_handler("datasets/coco/coco.ffr", ffr_prefix="coco", path_manager=manager)
    return manager


def original(packed: Path, path: str) -> Path:
    return packed / Path(path).relative_to("datasets")


@pytest.mark.parametrize("spelled", [PHOTO, f"./{PHOTO}", "{here}/" + PHOTO, PHOTO.replace("/train", "//train")])
def test_images_as_detectron2_reads_them(manager: PathManager, packed: Path, tmp_path: Path, spelled: str) -> None:
    with manager.open(spelled.format(here=tmp_path), "rb") as file:
        found = np.asarray(Image.open(file))
    np.testing.assert_array_equal(found, np.asarray(Image.open(original(packed, PHOTO))))


def test_annotations_as_detectron2_reads_them(manager: PathManager, packed: Path) -> None:
    local = manager.get_local_path(INSTANCES)
    assert Path(local).read_bytes() == original(packed, INSTANCES).read_bytes()
    assert manager.get_local_path(INSTANCES) == local
    with manager.open(INSTANCES) as file:
        assert json.load(file) == json.loads(Path(local).read_text())


@pytest.mark.parametrize("root", ["coco", ""])
@pytest.mark.parametrize("slashes", ["/", "//", "///", "/./", "//.//"])
def test_copies_stay_in_their_folder_however_many_slashes_a_path_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, slashes: str
) -> None:
    """Annotations with absolute file names, joined to a root, gave a path at which the archive's file was written."""
    victim = tmp_path / "home" / "file"
    inside = tmp_path / "source" / victim.relative_to("/")
    for path in (victim, inside):
        path.parent.mkdir(parents=True)
    inside.write_text("of the archive")
    pack_folder(tmp_path / "source", tmp_path / "a.ffr")
    monkeypatch.chdir(tmp_path)
    handler = FFRecordPathHandler("a.ffr", root)
    local = Path(handler._get_local_path(f"{root}{slashes}{victim.relative_to('/')}"))
    assert not victim.exists()
    assert local.read_text() == "of the archive"
    assert local.is_relative_to(handler._copies) and handler._copies.startswith("/")


def test_copies_for_get_local_path_do_not_outlive_the_handler(packed: Path) -> None:
    handler = FFRecordPathHandler(packed / "coco.ffr", "coco")
    local = Path(handler._get_local_path("coco/annotations/instances_val2017.json"))
    assert local.exists()
    del handler
    gc.collect()
    assert not local.exists()


def test_what_lies_beside_the_archive(manager: PathManager, tmp_path: Path) -> None:
    beside = Path("datasets/coco/annotations/mine.json")
    beside.parent.mkdir()
    beside.write_text("{}")
    assert manager.get_local_path(str(beside)) == str(beside)
    with manager.open(str(beside)) as file:
        assert file.read() == "{}"
    assert manager.ls("datasets/coco/annotations") == [
        "instances_train2017.json", "instances_val2017.json", "mine.json"
    ]  # fmt: skip
    with manager.open("datasets/coco/new.txt", "w") as file:
        file.write("written to the disk")
    assert Path("datasets/coco/new.txt").read_text() == "written to the disk"


def test_kinds_and_listings(manager: PathManager) -> None:
    assert manager.ls("datasets/coco") == ["annotations", "coco.ffr", "train2017", "val2017"]
    assert len(manager.ls("datasets/coco/val2017")) == 2
    assert manager.isdir("datasets/coco/train2017")
    assert manager.isfile(PHOTO)
    assert manager.exists("datasets/coco/coco.ffr")
    assert not manager.isfile("datasets/coco/train2017")
    assert not manager.exists("datasets/coco/train2017/none.jpg")
    assert not manager.exists("datasets/coco/../secret")
    assert not manager.exists("datasets/cocoa/train2017/000000000001.jpg")


def test_an_archive_of_all_datasets(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all/coco").symlink_to(packed / "coco")
    pack_folder(tmp_path / "all", tmp_path / "all.ffr")
    monkeypatch.chdir(tmp_path)
    manager = PathManager()
    register_ffrecord_handler("all.ffr", local_prefix="data/sets", path_manager=manager)
    with manager.open("data/sets/coco/val2017/000000000005.jpg", "rb") as file:
        assert file.read(2) == b"\xff\xd8"


def test_errors(manager: PathManager) -> None:
    with pytest.raises(ReadOnlyError, match="read-only"):
        manager.rm(PHOTO)
    with pytest.raises(FileNotFoundError, match=r"missing\.ffr"):
        register_ffrecord_handler("missing.ffr", path_manager=manager)


@pytest.fixture
def restored() -> Iterator[None]:
    """iopath's own manager, left as it was."""
    before = dict(g_pathmgr._path_handlers)
    yield
    g_pathmgr._path_handlers.clear()
    g_pathmgr._path_handlers.update(before)


@pytest.mark.usefixtures("restored")
def test_registers_with_iopath_s_own_manager_where_detectron2_is_not_installed(packed: Path) -> None:
    register_ffrecord_handler(packed / "coco.ffr", ffr_prefix="coco", local_prefix=str(packed / "shown"))
    assert g_pathmgr.isdir(str(packed / "shown/coco/train2017"))
