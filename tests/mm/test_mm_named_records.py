"""The other backend of this name in the wild: records of shards, named by filename2idx.pkl."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from ffrfs import FileWriter, FormatError
from ffrfs.mm import FFRecordClient

PATHS = [f"./data/nuscenes/samples/CAM_FRONT/n015__{number}.jpg" for number in range(10)]
CONTENTS = [b"bytes of %d" % number for number in range(10)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shard in range(2):
        with FileWriter(tmp_path / f"PART_{shard:05d}.ffr", 5) as writer:
            writer.write(CONTENTS[5 * shard : 5 * shard + 5])
    names = {Path(path).name: number for number, path in enumerate(PATHS)}
    for name in ("filename2idx.pkl", "img_fname2idx.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(names))
    return tmp_path


@pytest.mark.parametrize("arguments", [{"filename2idx": "img_fname2idx.pkl"}, {}, {"check_data": False}], ids=repr)
def test_reads_by_the_last_part_of_a_path(folder: Path, arguments: dict[str, str]) -> None:
    client = FFRecordClient(fname=str(folder), **arguments)
    assert client.get(PATHS) == CONTENTS
    assert client.get("../" + PATHS[3]) == CONTENTS[3]
    assert client.get_text(PATHS[3]) == "bytes of 3"
    assert client.exists(PATHS[0]) and client.isfile(PATHS[0]) and not client.exists("x/n015__10.jpg")
    with client.get_local_path(PATHS[1]) as path:
        assert Path(path).read_bytes() == CONTENTS[1]
    with pytest.raises(FileNotFoundError, match="no such file in the archive"):
        client.get("x/n015__10.jpg")
    copy = pickle.loads(pickle.dumps(client))
    assert copy.get(PATHS[2]) == CONTENTS[2] and repr(copy) == repr(client)


def test_reads_ahead_and_announces(folder: Path) -> None:
    client = FFRecordClient(folder)
    assert client.read_ahead([*PATHS, "nowhere.jpg"]) == ["nowhere.jpg"]
    assert client.announce([PATHS[0], "nowhere.jpg"]) == ["nowhere.jpg"]
    assert client.get(PATHS[0]) == CONTENTS[0]


def test_files_of_names_that_cannot_be(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pkl"):
        FFRecordClient(folder, filename2idx="nowhere.pkl").get(PATHS[0])
    (folder / "filename2idx.pkl").write_bytes(pickle.dumps(["n015__0.jpg"]))
    with pytest.raises(FormatError, match=r"filename2idx\.pkl: pickle opcode EMPTY_LIST has no place"):
        FFRecordClient(folder).get(PATHS[0])
