"""What goes wrong with an archive or a path, and what the user is told."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ffrfs import ChecksumError, ConfigError, FormatError, PackedFolder, TruncatedError
from ffrfs.mm import FFRecordClient

VECTORS = Path(__file__).parents[1] / "data/vectors"
PHOTO = "train2017/000000000001.jpg"


@pytest.fixture
def client(in_data: Path) -> FFRecordClient:
    return FFRecordClient("coco.ffr", "data/coco/")


@pytest.fixture
def damaged(in_data: Path, tmp_path: Path) -> Path:
    """coco.ffr with one byte of PHOTO changed."""
    copy = tmp_path / "damaged.ffr"
    content = bytearray((in_data / "coco.ffr").read_bytes())
    with PackedFolder(in_data / "coco.ffr") as folder:
        content[content.index(folder.read_one(PHOTO).tobytes()) + 100] ^= 1
    copy.write_bytes(content)
    return copy


def test_an_archive_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match=r"no such archive.*missing\.ffr") as caught:
        FFRecordClient("missing.ffr")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, "missing.ffr")


def test_an_archive_that_is_not_there_in_a_uri() -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.ffr"):
        FFRecordClient().get("ffrecord:///missing.ffr/x.jpg")


def test_a_path_that_names_no_archive() -> None:
    with pytest.raises(ConfigError, match=r"data/coco/x\.jpg names no archive: .*fname"):
        FFRecordClient().get("data/coco/x.jpg")


def test_a_prefix_without_an_archive() -> None:
    with pytest.raises(ConfigError, match="add fname"):
        FFRecordClient(path_prefix="data/coco")


def test_an_archive_without_a_tree() -> None:
    with pytest.raises(FormatError, match="no tree of names, so it is no packed folder"):
        FFRecordClient(VECTORS / "records.ffr").get("x")


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "photo.ffr").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(TruncatedError, match=r"not an \.ffr archive"):
        FFRecordClient(tmp_path / "photo.ffr").get("x")


def test_a_missing_file_names_archive_and_path(client: FFRecordClient) -> None:
    with pytest.raises(FileNotFoundError, match="no such file in the archive") as caught:
        client.get("data/coco/train2017/none.jpg")
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename.endswith("/coco.ffr/train2017/none.jpg")
    assert "path_prefix" not in str(caught.value)


def test_a_prefix_that_matches_nothing_is_told_with_a_near_match(client: FFRecordClient) -> None:
    with pytest.raises(FileNotFoundError, match="not below path_prefix 'data/coco/'.*which has '" + PHOTO):
        client.get(f"/datasets/coco/{PHOTO}")


def test_a_prefix_that_is_not_given_is_told_with_a_near_match(in_data: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"which has '{PHOTO}'; is path_prefix right?"):
        FFRecordClient("coco.ffr").get(f"data/coco/{PHOTO}")


def test_a_prefix_that_is_too_long_is_told_with_a_near_match(in_data: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"which has '{PHOTO}'; is path_prefix right?"):
        FFRecordClient("coco.ffr", "data/coco/train2017").get(f"data/coco/{PHOTO}")


def test_a_missing_file_of_a_batch(client: FFRecordClient) -> None:
    with pytest.raises(FileNotFoundError, match=r"train2017/none\.jpg"):
        client.get([f"data/coco/{PHOTO}", "data/coco/train2017/none.jpg"])


def test_a_missing_folder(client: FFRecordClient, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="test2017"):
        client.list_dir_or_file("data/coco/test2017")
    with pytest.raises(FileNotFoundError, match="test2017"):
        client.copytree_to_local("data/coco/test2017", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("path", ["data/coco/../secret", "data/coco/../../etc/passwd", "data/coco/val2017/../../x"])
def test_a_path_that_climbs_out(client: FFRecordClient, path: str) -> None:
    with pytest.raises(FileNotFoundError, match="not below path_prefix"):
        client.get(path)
    assert not client.exists(path)


@pytest.mark.parametrize("path", ["../secret", "train2017/../../secret", "/.."])
def test_a_path_that_climbs_out_of_the_archive(in_data: Path, path: str) -> None:
    with pytest.raises(FileNotFoundError, match="no such file in the archive"):
        FFRecordClient("coco.ffr").get(path)
    assert not FFRecordClient("coco.ffr").exists(path)


def test_a_folder_read_as_a_file(client: FFRecordClient) -> None:
    with pytest.raises(IsADirectoryError, match=r"coco\.ffr/train2017"):
        client.get("data/coco/train2017")
    with pytest.raises(IsADirectoryError, match=r"coco\.ffr/train2017"):
        client.get(["data/coco/train2017"])


def test_a_file_read_as_a_folder(client: FFRecordClient) -> None:
    with pytest.raises(NotADirectoryError, match=PHOTO):
        client.list_dir_or_file(f"data/coco/{PHOTO}")
    with pytest.raises(NotADirectoryError, match=PHOTO):
        client.get(f"data/coco/{PHOTO}/below")


def test_a_closed_client(client: FFRecordClient) -> None:
    with client:
        assert client.exists(f"data/coco/{PHOTO}")
    for read in (client.get, client.exists, client.list_dir_or_file):
        with pytest.raises(ValueError, match=r"closed: FFRecordClient\('coco.ffr'"):
            read("data/coco/train2017")
    assert FFRecordClient("coco.ffr").exists(PHOTO)


def test_a_corrupt_record(damaged: Path) -> None:
    with pytest.raises(ChecksumError, match=rf"damaged\.ffr: {PHOTO}: record \d+, .* the archive is damaged there"):
        FFRecordClient(damaged).get(PHOTO)
    with pytest.raises(ChecksumError, match=rf"damaged\.ffr: {PHOTO}: "):
        FFRecordClient(damaged).get(["train2017/000000000002.jpg", PHOTO])


def test_a_corrupt_record_that_nobody_wants_checked(damaged: Path, in_data: Path) -> None:
    content = FFRecordClient(damaged, check_data=False).get(PHOTO)
    assert len(content) == (in_data / "coco" / PHOTO).stat().st_size
