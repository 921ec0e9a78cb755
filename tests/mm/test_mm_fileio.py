"""The backend through mmengine.fileio, which mmdet 3 and mmseg 1 read with."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine import fileio

PHOTO = "data/coco/train2017/000000000001.jpg"
ANNOTATIONS = "annotations/instances_val2017.json"
ARGUMENTS = {"backend": "ffrecord", "fname": "coco.ffr", "path_prefix": "data/coco/"}


@pytest.fixture
def photo(in_data: Path) -> bytes:
    return (in_data / "coco/train2017/000000000001.jpg").read_bytes()


def test_reads(in_data: Path, photo: bytes) -> None:
    assert fileio.get(PHOTO, ARGUMENTS) == photo
    assert fileio.exists(PHOTO, ARGUMENTS)
    assert fileio.isdir("data/coco/train2017", ARGUMENTS)
    assert len(list(fileio.list_dir_or_file("data/coco/val2017", backend_args=ARGUMENTS))) == 4
    expected = fileio.load(f"coco/{ANNOTATIONS}")
    assert fileio.load(f"data/coco/{ANNOTATIONS}", backend_args=ARGUMENTS) == expected
    with fileio.get_local_path(f"data/coco/{ANNOTATIONS}", backend_args=ARGUMENTS) as path:
        assert fileio.load(path) == expected


def test_copies_out(in_data: Path, tmp_path: Path, photo: bytes) -> None:
    target = fileio.copyfile_to_local(PHOTO, tmp_path, ARGUMENTS)
    assert Path(target).read_bytes() == photo


def test_refuses_to_write(in_data: Path) -> None:
    with pytest.raises(OSError, match="read-only"):
        fileio.dump({}, "data/coco/new.json", backend_args=ARGUMENTS)


def test_uri(in_data: Path, photo: bytes) -> None:
    root = f"ffrecord://{in_data}/coco.ffr/"
    assert fileio.get(fileio.join_path(root, "train2017/000000000001.jpg")) == photo
    assert sorted(fileio.list_dir_or_file(root, list_file=False)) == ["annotations", "train2017", "val2017"]
    with fileio.get_local_path(root + ANNOTATIONS) as path:
        assert Path(path).read_bytes() == Path("coco/annotations/instances_val2017.json").read_bytes()


def test_one_backend_serves_all_uris(in_data: Path) -> None:
    backends = [
        fileio.get_file_backend(f"ffrecord://{in_data}/{name}.ffr/", enable_singleton=True) for name in ("coco", "ade")
    ]
    assert backends[0] is backends[1]
    assert backends[0].isdir(f"ffrecord://{in_data}/coco.ffr/train2017")
    assert backends[0].isdir(f"ffrecord://{in_data}/ade.ffr/images/training")
