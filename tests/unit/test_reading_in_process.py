"""Readers in process: what they take, what they refuse, and what they check."""

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from ffrfs import ChecksumError, FileReader, FormatError, PackedFolder, RecordIndexError, pack_folder
from tests.support.archives import archive_of, packed_folder, tree_record, write_archive

CONTENTS = [b"zero", b"one", b"", b"three"]


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.ffr"
    path.write_bytes(archive_of(CONTENTS))
    return path


@pytest.fixture
def reader(archive):
    with FileReader(archive) as reader:
        yield reader


def with_byte(path, at):
    """The same archive with one byte changed."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    changed = path.with_name(f"changed-{path.name}")
    changed.write_bytes(content)
    return changed


@pytest.mark.parametrize("index", ["1", 1.7, None, np.float32(1), b"1"], ids=repr)
def test_a_record_number_is_an_integer(reader, index):
    with pytest.raises(TypeError, match="records are numbered by integers"):
        reader.read_one(index)
    with pytest.raises(TypeError, match="records are numbered by integers"):
        reader.read([0, index])


@pytest.mark.parametrize("index", [1, np.int32(1), np.uint8(1), True], ids=repr)
def test_any_integer_is_a_record_number(reader, index):
    assert reader.read_one(index).tobytes() == b"one"


@pytest.mark.parametrize("index", [-1, 4, 1 << 70])
def test_a_record_number_outside_is_an_index_error(reader, index):
    with pytest.raises(RecordIndexError):
        reader.read([0, index])


def test_validate_checks_headers_and_verify_everything(archive):
    with FileReader(archive) as reader:
        reader.validate()
        reader.verify()
    with FileReader(with_byte(archive, os.path.getsize(archive) - 1)) as damaged:
        damaged.validate()
        with pytest.raises(ChecksumError, match="record 3"):
            damaged.verify()


def test_validate_reads_the_header_anew(archive):
    with FileReader(archive) as reader:
        with open(archive, "r+b") as file:
            file.write(b"\xff\xff\xff\xff")
        with pytest.raises(FormatError, match="header's checksum"):
            reader.validate()


def test_a_wrong_header_checksum_is_an_error_unless_data_is_not_checked(archive):
    changed = with_byte(archive, 0)
    with pytest.raises(FormatError, match="header's checksum"):
        FileReader(changed)
    with pytest.warns(UserWarning, match=r"changed-a\.ffr: the header's checksum .* read all the same") as warned:
        reader = FileReader(changed, check_data=False)
    assert [Path(warning.filename) for warning in warned] == [Path(__file__)]
    assert [data.tobytes() for data in reader.read(range(4))] == CONTENTS
    reader.close()


@pytest.mark.parametrize("at", [0, -1], ids=["header", "tree"])
def test_a_folder_whose_metadata_has_a_wrong_checksum_is_read_if_data_is_not_checked(tmp_path, at):
    changed = with_byte(write_archive(tmp_path / "f.ffr", {b"a": b"x", b"b": b"y"}), 0 if at == 0 else 16)
    if at:  # the checksum of record 1 was changed, now that of the tree; the header has none
        content = bytearray(changed.read_bytes())
        content[:4] = bytes(4)
        content[20] ^= 1
        changed.write_bytes(content)
    with pytest.raises((FormatError, ChecksumError)):
        PackedFolder(changed)
    with pytest.warns(UserWarning, match="read all the same"):
        folder = PackedFolder(changed, check_data=False)
    assert folder.read_one("b").tobytes() == b"y"
    assert folder.structure == {"a": 0, "b": 1}
    folder.close()


def test_a_header_that_makes_no_sense_is_an_error_even_so(archive):
    content = bytearray(archive.read_bytes())
    content[12 + 16 : 12 + 24] = (1 << 40).to_bytes(8, "little")  # where record 0 begins
    archive.write_bytes(content)
    with pytest.raises(FormatError, match="record 0 begins"):
        FileReader(archive, check_data=False)


def test_offsets_and_checksums_of_each_file(tmp_path):
    records = [[b"a", b"bc"], [], [b"d"]]
    for shard, contents in enumerate(records):
        (tmp_path / f"{shard}.ffr").write_bytes(archive_of(contents))
    with FileReader(tmp_path) as reader:
        for shard, contents in enumerate(records):
            header = 12 + 12 * len(contents)
            ends = np.cumsum([header, *map(len, contents)])
            assert reader.get_offsets(shard).tolist() == ends.tolist()
            assert reader.get_checksums(shard).dtype == np.uint32
            assert len(reader.get_checksums(shard)) == len(contents)
        for wrong in (reader.get_offsets, reader.get_checksums):
            with pytest.raises(IndexError):
                wrong(3)


def test_prefetching_is_only_a_hint(reader):
    reader.prefetch([3, 0, 0])
    reader.prefetch([])
    with pytest.raises(RecordIndexError):
        reader.prefetch([9])


@pytest.fixture
def folder(tmp_path):
    tree = {b"b": b"bee", b"a": b"ay", b"sub": {b"z": b"zed", b"empty": {}}}
    with PackedFolder(write_archive(tmp_path / "f.ffr", tree)) as folder:
        yield folder


@pytest.mark.parametrize("path", ["a", b"a", Path("a")], ids=repr)
def test_one_path_where_a_list_is_wanted_is_an_error_that_says_so(folder, path):
    with pytest.raises(TypeError, match=r"a list of paths: read_one\(.*\) reads one file"):
        folder.read(path)


def test_a_folder_is_also_a_reader_and_a_structure(folder):
    expected = OrderedDict(a=0, b=1, sub=OrderedDict(empty=OrderedDict(), z=2))
    assert folder.structure == expected and isinstance(folder.structure["sub"], OrderedDict)
    assert folder.reader.n == 4 and folder.reader.read_one(1).tobytes() == b"bee"
    folder.close()
    with pytest.raises(ValueError, match="closed"):
        folder.reader.read_one(1)


def test_prefetching_passes_over_what_is_no_file(folder):
    folder.prefetch(["a", "sub", "nowhere", "sub/z"])


# The order in which somebody else packed: files before folders, the newest first, and so on.
OTHER_ORDERS = [
    ["b", "a", "c"],
    ["z", ("a", ["2", "1"])],
    [("b", ["x"]), ("a", ["y"])],
    [("b", ["x"]), "a"],
    [("a", ["x", ("w", ["v", "u"])]), ("b", []), "c"],
    ["\udcff", "\uffff", "é"],
]


@pytest.mark.parametrize("order", OTHER_ORDERS, ids=ascii)
def test_a_folder_is_listed_in_the_order_in_which_it_was_packed(tmp_path, order):
    count = 0

    def tree(order):
        nonlocal count
        names = OrderedDict()
        for entry in order:
            if isinstance(entry, str):
                names[entry], count = count, count + 1
            else:
                names[entry[0]] = tree(entry[1])
        return names

    def listing(names):
        for name, value in names.items():
            yield Path(name)
            if not isinstance(value, int):
                yield from (name / path for path in map(Path, listing(value)))

    names = tree(order)
    path = tmp_path / "a.ffr"
    path.write_bytes(archive_of([b"%d" % number for number in range(count)] + [tree_record(names)]))
    with PackedFolder(path) as folder:
        assert folder.list() == list(names)
        assert list(map(Path, folder.list(recursive=True))) == list(listing(names))
        assert folder.structure == names


def test_what_is_packed_here_is_listed_in_the_order_of_names(tmp_path):
    source = tmp_path / "source"
    for name in ("b/2", "b/1", "a/3", "a.txt", "c"):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    pack_folder(source, tmp_path / "a.ffr")
    with PackedFolder(tmp_path / "a.ffr") as folder:
        assert list(map(str, folder.list(recursive=True))) == ["a", "a/3", "a.txt", "b", "b/1", "b/2", "c"]
        assert "structure" not in vars(folder)


def test_the_same_from_bytes(tmp_path):
    path = tmp_path / "a.ffr"
    path.write_bytes(packed_folder({b"x": b"1"}))
    with PackedFolder(path) as folder:
        assert folder.list() == ["x"]
