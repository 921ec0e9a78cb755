"""The backend as users of OpenMMLab's FileClient find it: all of mmcv 1.x, and what is left of it in mmengine."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ffrfs.mm import FFRecordClient, register
from tests.mm.conftest import FRAMEWORK

PHOTO = "data/coco/train2017/000000000001.jpg"
ARGUMENTS = {"backend": "ffrecord", "fname": "coco.ffr", "path_prefix": "data/coco/"}


@pytest.fixture
def photo(in_data: Path) -> bytes:
    return (in_data / "coco/train2017/000000000001.jpg").read_bytes()


@pytest.fixture
def file_client() -> Any:
    return import_module(FRAMEWORK).FileClient


def test_reads(file_client: Any, photo: bytes) -> None:
    client = file_client.infer_client(ARGUMENTS)
    assert client.get(PHOTO) == photo
    assert client.get([PHOTO, PHOTO]) == [photo, photo]
    assert client.isfile(PHOTO)
    assert client.join_path("data/coco", "train2017") == "data/coco/train2017"
    assert len(list(client.list_dir_or_file("data/coco/train2017", False, True, ".jpg", True))) == 16
    with client.get_local_path(PHOTO) as path:
        assert Path(path).read_bytes() == photo


def test_names(file_client: Any, in_data: Path) -> None:
    client = file_client(**ARGUMENTS)
    assert (client.name, client.allow_symlink) == ("FFRecordClient", False)
    assert isinstance(client.client, FFRecordClient)
    assert file_client(**ARGUMENTS) is client


def test_uri(file_client: Any, in_data: Path, photo: bytes) -> None:
    uri = f"ffrecord://{in_data}/coco.ffr/train2017/000000000001.jpg"
    assert file_client.infer_client(uri=uri).get(uri) == photo


def test_pickling_and_copying_leave_the_disk_client_alone(file_client: Any, photo: bytes) -> None:
    client = file_client(**ARGUMENTS)
    for twin in (pickle.loads(pickle.dumps(client)), copy.deepcopy(client)):
        assert twin.get(PHOTO) == photo
    disk = file_client("disk")
    assert type(disk.client).__name__ == "HardDiskBackend"
    assert disk.get("coco/train2017/000000000001.jpg") == photo
    assert pickle.loads(pickle.dumps(disk)).get("coco/train2017/000000000001.jpg") == photo


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_goes_to_workers(file_client: Any, photo: bytes, method: str) -> None:
    client = file_client(**ARGUMENTS)
    with get_context(method).Pool(1) as pool:
        assert pool.map(client.get, [PHOTO]) == [photo]


def test_wrong_arguments(file_client: Any) -> None:
    with pytest.raises(TypeError, match="file_name"):
        file_client(backend="ffrecord", file_name="coco.ffr")
    with pytest.raises(FileNotFoundError, match=r"missing\.ffr"):
        file_client(backend="ffrecord", fname="missing.ffr")


def test_is_a_storage_backend(file_client: Any) -> None:
    module = "mmcv.fileio.file_client" if FRAMEWORK == "mmcv" else "mmengine.fileio"
    assert issubclass(FFRecordClient, import_module(module).BaseStorageBackend)


def test_registering_again_is_harmless(file_client: Any, in_data: Path) -> None:
    client = file_client(**ARGUMENTS)
    assert register() == register()
    assert file_client(**ARGUMENTS) is client


def test_custom_imports_alone_registers(tmp_path: Path) -> None:
    """As a training script does it: the config is loaded, and that is all."""
    (tmp_path / "config.py").write_text("custom_imports = dict(imports=['ffrfs.mm'], allow_failed_imports=False)\n")
    script = f"""
import sys, {FRAMEWORK} as framework
assert "ffrfs" not in sys.modules
framework.Config.fromfile("config.py")
assert "ffrecord" in framework.FileClient._backends
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
