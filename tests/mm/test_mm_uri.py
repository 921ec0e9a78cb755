"""A URI is an absolute path to mmengine, whoever imported its functions; pure-Python configs know the backend."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mmengine.utils
import pytest
from mmengine import fileio

import ffrfs.mm  # noqa: F401

PHOTO = "train2017/000000000001.jpg"


@pytest.mark.parametrize("uri", ["ffrecord://coco.ffr/x", "ffrecord:///data/coco.ffr/x", "ffrecord:/data/coco.ffr/x"])
def test_a_uri_is_an_absolute_path(uri: str) -> None:
    assert mmengine.utils.is_abs(uri)
    assert mmengine.utils.path.is_abs(uri)
    assert mmengine.utils.is_abs("/x")
    assert mmengine.utils.is_abs("s3://x")
    assert not mmengine.utils.is_abs("coco.ffr/x")


def test_a_uri_is_joined_as_an_absolute_path() -> None:
    assert fileio.join_path("ffrecord://a.ffr/", "x", "ffrecord://b.ffr/", "y") == "ffrecord://b.ffr/y"


@pytest.mark.parametrize("named", [False, True])
def test_copies_out_of_a_uri_without_arguments(in_data: Path, tmp_path: Path, named: bool) -> None:
    source = f"ffrecord://coco.ffr/{PHOTO}"
    if named:
        copy = fileio.copyfile_to_local(src=source, dst=str(tmp_path))
    else:
        copy = fileio.copyfile_to_local(source, tmp_path)
    assert Path(copy).read_bytes() == (in_data / "coco" / PHOTO).read_bytes()
    fileio.copytree_to_local("ffrecord://coco.ffr/annotations", str(tmp_path / "annotations"))
    assert names(tmp_path / "annotations") == names(in_data / "coco/annotations")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_copies_of_the_disk_are_as_before(in_data: Path, tmp_path: Path) -> None:
    copy = fileio.copyfile_to_local(f"coco/{PHOTO}", tmp_path)
    assert Path(copy).read_bytes() == (in_data / "coco" / PHOTO).read_bytes()


@pytest.mark.parametrize("annotations", ["disk", "archive"])
def test_a_dataset_with_absolute_uris(in_data: Path, annotations: str) -> None:
    """As mmengine's BaseDataset joins them: annotations on the disk or in the archive, images in the archive."""
    dataset = pytest.importorskip("mmengine.dataset").BaseDataset
    (in_data / "list.json").write_text(json.dumps({"metainfo": {}, "data_list": [{"img_path": "000000000001.jpg"}]}))
    ann_file = str(in_data / "list.json")
    if annotations == "archive":
        from ffrfs import pack_folder

        (in_data / "listed").mkdir(exist_ok=True)
        (in_data / "listed/list.json").write_bytes((in_data / "list.json").read_bytes())
        pack_folder(in_data / "listed", in_data / "listed.ffr")
        ann_file = "ffrecord://listed.ffr/list.json"
    images = "ffrecord://coco.ffr/train2017/"
    for root in ("data/coco", "ffrecord://coco.ffr/"):
        loaded = dataset(ann_file=ann_file, data_root=root, data_prefix={"img_path": images})
        assert loaded[0]["img_path"] == images + "000000000001.jpg"
        assert fileio.get(loaded[0]["img_path"]) == (in_data / "coco" / PHOTO).read_bytes()


def test_a_pure_python_config_knows_the_backend_by_its_name(in_data: Path, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(f"""
from mmengine.config import read_base

from ffrfs.mm import BACKEND

photo = dict(filepath="{PHOTO}", backend_args=dict(backend=BACKEND, fname="coco.ffr"))
""")
    script = f"""
from mmengine import Config, fileio
print(len(fileio.get(**Config.fromfile({str(tmp_path / "config.py")!r}).photo)))
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=in_data, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.split()[-1]) == (in_data / "coco" / PHOTO).stat().st_size
