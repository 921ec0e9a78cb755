"""PrefetchDataset without a framework; in training it is among the sources of test_mm_loading and test_mm_training."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ffrfs import ChecksumError, TruncatedError
from ffrfs.mm import FFRecordClient, PrefetchDataset, sample_files
from ffrfs.mm.client import recorded_reads
from ffrfs.mm.sample import MAX_FRAMES

COUNT = 16


class Photos:
    """A plain data set: the bytes of a photograph, read as a pipeline would read it."""

    def __init__(self, root: str, client: Any = None, **attributes: Any) -> None:
        self.root, self.client = root, client
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return COUNT

    def path(self, index: int) -> str:
        return f"{self.root}/train2017/{index + 1:012d}.jpg"

    def __getitem__(self, index: int) -> bytes:
        return self.client.get(self.path(index)) if self.client else Path(self.path(index)).read_bytes()

    def get_data_info(self, index: int) -> dict[str, Any]:
        return {"img_path": self.path(index), "img_id": index}


def one_path(dataset: Photos, index: int) -> Sequence[str]:
    return [dataset.path(index)]


@pytest.fixture
def archive(in_data: Path, tmp_path: Path) -> Path:
    """A copy of coco.ffr that a test may destroy."""
    return Path(shutil.copy(in_data / "coco.ffr", tmp_path / "copy.ffr"))


def backend(archive: Path) -> dict[str, Any]:
    return {"backend": "ffrecord", "fname": str(archive), "path_prefix": "data/coco"}


def photos(archive: Path, **attributes: Any) -> Photos:
    client = FFRecordClient(archive, "data/coco")
    assert client.isdir("data/coco")  # opens it
    return Photos("data/coco", client, **attributes)


def test_gives_what_the_dataset_gives(archive: Path) -> None:
    dataset = photos(archive)
    wrapped = PrefetchDataset(dataset, backend_args=backend(archive))
    assert len(wrapped) == COUNT
    assert wrapped[3] == dataset[3]
    assert wrapped.__getitems__([5, 0, 5]) == [dataset[5], dataset[0], dataset[5]]


def test_the_batch_is_in_memory_before_the_pipeline_runs(archive: Path, in_data: Path) -> None:
    wrapped = PrefetchDataset(photos(archive), backend_args=backend(archive))
    wrapped.read_ahead([2, 7])
    os.truncate(archive, 10_000)  # from now on nothing can be read
    for index in (2, 7):
        assert wrapped[index] == (in_data / f"coco/train2017/{index + 1:012d}.jpg").read_bytes()
    with pytest.raises(TruncatedError):
        wrapped[3]


def test_only_the_last_batch_is_kept(archive: Path) -> None:
    wrapped = PrefetchDataset(photos(archive), backend_args=backend(archive))
    wrapped.read_ahead([2])
    wrapped.read_ahead([3])
    os.truncate(archive, 10_000)
    assert wrapped[3]
    with pytest.raises(TruncatedError):
        wrapped[2]


@pytest.mark.parametrize("name", ["backend_args", "file_client_args"])
def test_finds_the_backend_in_the_dataset(archive: Path, name: str) -> None:
    dataset = photos(archive, **{name: backend(archive)})
    assert [client.fname for client in PrefetchDataset(dataset).clients] == [str(archive), None]


def test_finds_the_backend_in_wrapped_datasets_and_their_pipelines(archive: Path) -> None:
    transform = Photos("", backend_args=backend(archive))
    pipeline = Photos("", transforms=[transform, transform])
    inner = photos(archive, pipeline=pipeline, backend_args=None)
    for outer in (Photos("", dataset=inner), Photos("", datasets=[inner, inner])):
        assert [client.fname for client in PrefetchDataset(outer).clients] == [str(archive), None]


def test_uris(archive: Path) -> None:
    dataset = Photos(f"ffrecord://{archive}", FFRecordClient())
    assert dataset[0]
    wrapped = PrefetchDataset(dataset)
    wrapped.read_ahead([4])
    os.truncate(archive, 10_000)
    assert wrapped[4]


def test_files_outside_every_archive_are_announced(archive: Path, in_data: Path) -> None:
    announced: list[str] = []
    wrapped = PrefetchDataset(Photos("coco"), one_path, backend(archive), announced.extend)
    assert wrapped.__getitems__([1, 0]) == [wrapped[1], wrapped[0]]
    assert announced == ["coco/train2017/000000000002.jpg", "coco/train2017/000000000001.jpg"]


def test_a_corrupt_record_is_told_by_the_read_it_belongs_to(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    dataset = photos(archive)
    content[content.index(dataset[1]) + 10] ^= 1
    damaged = archive.with_name("damaged.ffr")
    damaged.write_bytes(content)
    wrapped = PrefetchDataset(photos(damaged), backend_args=backend(damaged))
    wrapped.read_ahead([0, 1])
    assert wrapped[0] == dataset[0]
    with pytest.raises(ChecksumError, match=r"train2017/000000000002\.jpg"):
        wrapped.__getitems__([0, 1])


def test_is_the_dataset_for_everything_else(archive: Path) -> None:
    wrapped = PrefetchDataset(photos(archive, metainfo={"classes": ("cat",)}), backend_args=backend(archive))
    assert wrapped.metainfo == {"classes": ("cat",)}
    assert wrapped.get_data_info(0)["img_id"] == 0
    assert not hasattr(wrapped, "full_init")


def test_goes_to_workers(archive: Path) -> None:
    wrapped = pickle.loads(pickle.dumps(PrefetchDataset(photos(archive), one_path, backend(archive))))
    assert wrapped.__getitems__([1]) == [wrapped[1]]


def test_sample_files_of_multi_view_datasets() -> None:
    info = {
        "img_path": ["a.jpg", Path("b.jpg")],
        "seg_map_path": None,
        "images": {"CAM_FRONT": {"img_path": "front.jpg", "height": 900}, "CAM_BACK": {"img_path": "back.jpg"}},
        "lidar_points": {"lidar_path": "points.bin"},
        "instances": [{"bbox": [0, 0, 1, 1], "mask_path": "not followed"}],
        "text": "no path",
    }

    class Dataset:
        def get_data_info(self, index: int) -> dict[str, Any]:
            return info

    assert sample_files(Dataset(), 0) == ["a.jpg", "b.jpg", "front.jpg", "back.jpg", "points.bin"]


class Named(Photos):
    """A data set that reads more than it names: `get_data_info` gives what is set here."""

    info: dict[str, Any] = {}  # noqa: RUF012

    def get_data_info(self, index: int) -> dict[str, Any]:
        return {name: value(self, index) for name, value in self.info.items()}


def named(archive: Path, **info: Any) -> Named:
    client = FFRecordClient(archive, "data/coco")
    return Named("data/coco", client, info=info)


@pytest.mark.parametrize(
    "info",
    [
        {"filename": Named.path},
        {"img_path": Named.path},
        {"lidar_sweeps": lambda self, index: [{"lidar_points": {"lidar_path": self.path(index)}}]},
    ],
    ids=lambda info: next(iter(info)),
)
def test_what_the_frameworks_name_is_read_ahead_from_the_first_batch(archive: Path, info: dict[str, Any]) -> None:
    wrapped = PrefetchDataset(named(archive, **info), backend_args=backend(archive))
    with recorded_reads() as reads:
        wrapped.read_ahead([1, 2])
        assert [wrapped[1], wrapped[2]]
    assert list(reads.values()) == [True, True]


def test_the_frames_of_a_clip_are_read_ahead() -> None:
    info = {"frame_dir": "a/clip", "filename_tmpl": "{:05}.jpg", "total_frames": 3, "start_index": 1}

    class Dataset:
        def get_data_info(self, index: int) -> dict[str, Any]:
            return info

    assert sample_files(Dataset(), 0) == ["a/clip/00001.jpg", "a/clip/00002.jpg", "a/clip/00003.jpg"]
    info["total_frames"] = MAX_FRAMES + 1
    assert sample_files(Dataset(), 0) == []


def test_where_a_path_stands_is_learned_by_the_first_batch(archive: Path) -> None:
    dataset = named(archive, views=lambda self, index: [{"source": self.path(index)}, {"other": "none"}])
    wrapped = PrefetchDataset(dataset, backend_args=backend(archive))
    wrapped.__getitems__([0])
    wrapped.read_ahead([3, 4])
    os.truncate(archive, 10_000)  # from now on nothing can be read
    assert wrapped[3]
    assert wrapped[4]


def test_what_stands_nowhere_is_learned_for_the_sample(archive: Path) -> None:
    wrapped = PrefetchDataset(named(archive), backend_args=backend(archive))
    wrapped.__getitems__([5])
    wrapped.read_ahead([5])
    os.truncate(archive, 10_000)
    assert wrapped[5]
    with pytest.raises(TruncatedError):
        wrapped[6]


def test_a_low_share_is_told_once(archive: Path) -> None:
    wrapped = PrefetchDataset(named(archive), backend_args=backend(archive))
    with pytest.warns(RuntimeWarning, match=r"read ahead 0 of 32 files \(0 %\) that Named reads from archives") as told:
        read_four_epochs(wrapped)
    assert len(told) == 1


def read_four_epochs(wrapped: PrefetchDataset) -> None:
    for _ in range(4):
        wrapped._missed.clear()  # as in a worker that is new
        wrapped.__getitems__(range(COUNT))


def test_a_high_share_is_not_told(archive: Path) -> None:
    wrapped = PrefetchDataset(photos(archive), backend_args=backend(archive))
    for _ in range(4):
        wrapped.__getitems__(range(COUNT))


def test_the_backend_of_a_transform_of_mmaction2(archive: Path) -> None:
    args = {"fname": str(archive), "path_prefix": "data/coco"}
    transform = Photos("", io_backend="ffrecord", kwargs=args)
    dataset = photos(archive, pipeline=Photos("", transforms=[transform]))
    assert [client.fname for client in PrefetchDataset(dataset).clients] == [str(archive), None]
