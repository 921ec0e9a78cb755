"""filename2idx.pkl: read as it is meant, refused in every other form, and never run."""

import os
import pickle
import pickletools
import random

import numpy as np
import pytest

from ffrfs import FileWriter, FormatError
from ffrfs.archive.named import NamedRecords
from ffrfs.format.named_records import parse_named_records

NAMES = {f"samples/CAM_FRONT/n015__{number}.jpg": number for number in range(3000)}
NAMES |= {"é" * 200: 70_000, "": 255, "x": 256, "\udcff": 65_535, "y": 0}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("names", [NAMES, {}, {"only": 1}, {"a": 1, "b": 1}], ids=["many", "none", "one", "two"])
def test_a_dictionary_is_read_as_pickle_reads_it(names, protocol):
    blob = pickle.dumps(names, protocol)
    assert parse_named_records("x.pkl", blob, 70_001) == names
    assert parse_named_records("x.pkl", pickletools.optimize(blob), 70_001) == names


class Code:
    def __reduce__(self):
        return os.system, ("touch was-run",)


OTHERS = {
    "code": {"a": Code()},
    "code-as-name": {("a", "b"): 1},
    "list": ["a", "b"],
    "text": "a",
    "bytes": {b"a": 1},
    "float": {"a": 1.5},
    "bool": {"a": True},
    "none": {"a": None},
    "numpy": {"a": np.int64(1)},
    "nested": {"a": {"b": 1}},
    "too-large": {"a": 1 << 40},
    "negative": {"a": -1},
    "outside": {"a": 10},
    "swapped": {1: "a"},
}


@pytest.mark.parametrize("value", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("protocol", [0, 4])
def test_anything_else_is_refused(value, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormatError, match=r"^x\.pkl: "):
        parse_named_records("x.pkl", pickle.dumps(value, protocol), 10)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("blob", [b"", b".", b"}.", b"\x80\x04}", b"\x80\x04}.x", b"}(u.", b"}u.", b"}s.", b"}}."])
def test_pickles_that_are_cut_or_put_together_wrongly(blob):
    if blob in (b"}.", b"}(u."):
        assert parse_named_records("x.pkl", blob, 10) == {}
    else:
        with pytest.raises(FormatError):
            parse_named_records("x.pkl", blob, 10)


def test_a_name_twice_is_refused():
    with pytest.raises(FormatError, match="twice"):
        parse_named_records("x.pkl", b"\x80\x04}(\x8c\x01aK\x01\x8c\x01aK\x02u.", 10)


def test_no_damage_is_read_as_something_else_than_names_and_numbers():
    blob = pickle.dumps({f"n{number}": number for number in range(20)})
    numbers = random.Random(0)
    for _ in range(3000):
        damaged = bytearray(blob)
        for _ in range(numbers.randrange(1, 4)):
            damaged[numbers.randrange(len(blob))] = numbers.randrange(256)
        try:
            names = parse_named_records("x.pkl", bytes(damaged[: numbers.randrange(len(blob) * 2)]), 20)
        except FormatError:
            continue
        assert all(isinstance(name, str) and 0 <= record < 20 for name, record in names.items())


@pytest.fixture
def folder(tmp_path):
    """Two shards of five records with names, and the file of their names."""
    for shard in range(2):
        with FileWriter(tmp_path / f"PART_{shard:05d}.ffr", 5) as writer:
            writer.write(b"bytes of %d" % (5 * shard + number) for number in range(5))
    names = {f"CAM/{number}.jpg": number for number in range(9)} | {"other/8.jpg": 9}
    (tmp_path / "filename2idx.pkl").write_bytes(pickle.dumps(names))
    return tmp_path


def test_records_are_found_by_the_last_part_of_a_path(folder):
    named = NamedRecords(folder, "filename2idx.pkl")
    assert named.read_one("../data/nuscenes/samples/CAM/3.jpg").tobytes() == b"bytes of 3"
    assert [data.tobytes() for data in named.read(["7.jpg", "CAM/8.jpg"])] == [b"bytes of 7", b"bytes of 8"]
    assert named.is_file("/x/0.jpg") and not named.exists("9.jpg") and named.is_dir("")
    assert (named.list()[:2], named.list(list_file=False)) == (["CAM/0.jpg", "CAM/1.jpg"], [])
    assert named.size("0.jpg") == len(b"bytes of 0")
    named.prefetch(["0.jpg", "nowhere"])
    with pytest.raises(FileNotFoundError, match=r"9\.jpg"):
        named.read_one("9.jpg")
    with pytest.raises(NotADirectoryError):
        named.list("0.jpg")
    named.close()


def test_a_last_part_of_two_records_must_be_asked_for_in_full(folder):
    named = NamedRecords(folder, "filename2idx.pkl")
    assert named.read_one("other/8.jpg").tobytes() == b"bytes of 9"
    assert not named.exists("8.jpg")
    with pytest.raises(FormatError, match=r"several records end in '8\.jpg'"):
        named.read_one("8.jpg")
    named.close()
