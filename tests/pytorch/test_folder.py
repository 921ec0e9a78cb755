"""Folders of images and of other files: packed, in a mount or on the disk, they are the same data set."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from ffrfs import ChecksumError, pack_folder
from ffrfs.torch import ImageFolder, PackedDataset
from tests.pytorch.datasets import width
from tests.support.mounts import mounted


@pytest.fixture(params=["archive", "shards", "mount", "disk"])
def root(request: pytest.FixtureRequest, images: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder `train` of the images, each way in."""
    if request.param == "mount":
        request.getfixturevalue("fuse")
        with mounted(images.with_suffix(".ffr"), tmp_path) as mount:
            yield mount.path / "train"
    elif request.param == "shards":
        (tmp_path / "shards").mkdir()
        pack_folder(images, tmp_path / "shards", shards=2)
        yield tmp_path / "shards/train"
    else:
        yield (images if request.param == "disk" else images.with_suffix(".ffr")) / "train"


def expected_of(images: Path) -> list[tuple[str, int]]:
    """The images by folder and then by name, and their classes."""
    found = []
    for number, name in enumerate(["ant", "bee", "cat"]):
        for folder in (images / "train" / name, images / "train" / name / "old"):
            found += [(str(path.relative_to(images / "train")), number) for path in sorted(folder.glob("*.jpg"))]
    return found


def test_classes_and_samples_are_torchvisions(root: Path, images: Path) -> None:
    dataset = ImageFolder(root)
    assert dataset.classes == ["ant", "bee", "cat"]
    assert dataset.class_to_idx == {"ant": 0, "bee": 1, "cat": 2}
    expected = expected_of(images)
    assert dataset.samples == dataset.imgs == [(f"{root}/{path}", target) for path, target in expected]
    assert dataset.targets == [target for _, target in expected]
    assert len(dataset) == len(expected) == 16


def test_images_are_those_of_the_disk(root: Path, images: Path) -> None:
    dataset = ImageFolder(root)
    for (image, target), (path, number) in zip(dataset, expected_of(images), strict=True):
        assert (target, image.mode) == (number, "RGB")
        with Image.open(images / "train" / path) as original:
            assert image.tobytes() == original.convert("RGB").tobytes()


@pytest.mark.parametrize("context", [None, "fork", "spawn"])
def test_batches_with_transforms(root: Path, context: str | None) -> None:
    dataset = ImageFolder(root, width, str)
    options = {"num_workers": 2, "multiprocessing_context": context} if context else {}
    widths, targets = zip(*DataLoader(dataset, batch_size=5, **options), strict=True)
    assert torch.cat(widths).tolist() == [64] * 16
    assert [target for batch in targets for target in batch] == list(map(str, dataset.targets))


def test_files_without_classes(root: Path, images: Path) -> None:
    dataset = PackedDataset(root)
    found = sorted(path.relative_to(images / "train") for path in (images / "train").rglob("*") if path.is_file())
    assert sorted(map(Path, dataset.paths)) == found
    assert [(images / "train" / path).read_bytes() for path in dataset.paths] == list(dataset)
    assert PackedDataset(root, extensions=(".txt",), transform=len).__getitems__([0, 0]) == [8, 8]
    chosen = PackedDataset(root, is_valid_file=lambda path: path == f"{root}/LICENSE")
    assert chosen.paths == ["LICENSE"] and chosen[-1] == b"in no class"


def test_the_whole_archive_and_a_list_of_shards(images: Path, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    pack_folder(images / "train", tmp_path / "shards", shards=2)
    shards = sorted((tmp_path / "shards").iterdir())
    for root in (tmp_path / "shards", shards, str(tmp_path / "shards")):
        assert ImageFolder(root).targets == ImageFolder(images / "train").targets
    assert ImageFolder(images.with_suffix(".ffr")).classes == ["train"]


def test_roots_that_are_none(images: Path, tmp_path: Path) -> None:
    archive = images.with_suffix(".ffr")
    for root in (tmp_path / "nowhere", tmp_path / "nowhere.ffr/train", archive / "test"):
        with pytest.raises(FileNotFoundError) as error:
            ImageFolder(root)
        assert str(root) in str(error.value)
    with pytest.raises(NotADirectoryError):
        PackedDataset(archive / "train/LICENSE")
    with pytest.raises(FileNotFoundError, match="has no folders"):
        ImageFolder(archive / "train/ant/old")
    with pytest.raises(FileNotFoundError, match="no image of class cat"):
        ImageFolder(archive / "train", is_valid_file=lambda path: "/cat/" not in path)
    partly = ImageFolder(archive / "train", is_valid_file=lambda path: "/cat/" not in path, allow_empty=True)
    assert set(partly.targets) == {0, 1} and partly.classes == ["ant", "bee", "cat"]


def test_a_damaged_image_is_named(images: Path, tmp_path: Path) -> None:
    content = bytearray(images.with_suffix(".ffr").read_bytes())
    path, _ = expected_of(images)[3]
    content[content.index((images / "train" / path).read_bytes()) + 99] ^= 1
    damaged = tmp_path / "damaged.ffr"
    damaged.write_bytes(content)
    dataset = ImageFolder(damaged / "train")
    assert dataset[2]
    with pytest.raises(ChecksumError, match=f"train/{path}"):
        dataset[3]


def test_prefetching_names_the_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset: Any = ImageFolder(root)
    asked: list[str] = []
    record: Callable[..., None] = lambda paths: asked.extend(paths)  # noqa: E731
    monkeypatch.setattr(dataset._files, "prefetch", record)
    dataset.prefetch([2, 0])
    assert asked == [dataset.paths[2], dataset.paths[0]]
    monkeypatch.undo()
    dataset.prefetch(range(16))
    assert pickle.loads(pickle.dumps(dataset))[1][1] == dataset.targets[1]
    assert os.path.isabs(dataset.root)
