"""The reference archives, written by HFAiLab/ffrecord, read as their manifest says."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from ffrfs import FileReader, FormatError, PackedFolder
from ffrfs.format.header import encode_header

VECTORS = Path(__file__).parent.parent / "data" / "vectors"
MANIFEST = json.loads((VECTORS / "manifest.json").read_text())["archives"]
RECORD_ARCHIVES = ["records.ffr", "folder.ffr"]
FOLDERS = ["folder.ffr", "sharded"]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", RECORD_ARCHIVES)
def test_records_read_as_the_manifest_says(name):
    facts = MANIFEST[name]
    with FileReader(VECTORS / name) as reader:
        assert reader.n == facts["n"]
        batch = reader.read(range(reader.n))
        assert [sha256(record) for record in batch] == facts["sha256"]
        assert [sha256(reader.read_one(i)) for i in range(reader.n)] == facts["sha256"]
        assert all(record.dtype == np.uint8 for record in batch)
        reader.verify()


def test_a_header_checksum_of_zero_is_accepted():
    with FileReader(VECTORS / "legacy_zero_checksum.ffr") as reader:
        assert [sha256(record) for record in reader.read(range(reader.n))] == MANIFEST["records.ffr"]["sha256"]


@pytest.mark.parametrize("name", RECORD_ARCHIVES)
def test_the_header_is_written_byte_for_byte(name):
    facts = MANIFEST[name]
    header = encode_header(np.array(facts["checksums"], np.uint32), np.diff(np.array(facts["offsets"])))
    assert (VECTORS / name).read_bytes()[: len(header)] == header


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_read_as_the_manifest_says(name):
    files = MANIFEST[name]["files"]
    with PackedFolder(VECTORS / name) as folder:
        assert {str(path) for path in folder.list(list_dir=False, recursive=True)} == set(files)
        assert folder.num_files() == len(files)
        paths = list(files)
        assert [sha256(data) for data in folder.read(paths)] == list(files.values())
        assert [sha256(folder.read_one(path)) for path in paths] == list(files.values())


def test_a_shard_list_is_the_same_archive_as_its_folder():
    shards = sorted((VECTORS / "sharded").glob("*.ffr"))
    with FileReader(shards) as by_list, FileReader(VECTORS / "sharded") as by_folder:
        assert by_list.n == by_folder.n
        assert [sha256(r) for r in by_list.read(range(by_list.n))] == [
            sha256(r) for r in by_folder.read(range(by_folder.n))
        ]


def test_readers_pickle():
    with PackedFolder(VECTORS / "folder.ffr") as folder, FileReader(VECTORS / "folder.ffr") as reader:
        with pickle.loads(pickle.dumps(folder)) as copy:
            assert copy.read_one("empty.bin").tobytes() == b""
        with pickle.loads(pickle.dumps(reader)) as copy:
            assert copy.n == reader.n


def test_paths_that_are_not_files():
    with PackedFolder(VECTORS / "folder.ffr") as folder:
        with pytest.raises(FileNotFoundError, match=r"folder\.ffr/nowhere"):
            folder.read_one("nowhere")
        with pytest.raises(IsADirectoryError):
            folder.read_one("deep")
        with pytest.raises(NotADirectoryError):
            folder.read_one("empty.bin/x")
        with pytest.raises(FileNotFoundError):
            folder.read_one("../folder.ffr")
        with pytest.raises(NotADirectoryError):
            folder.list("empty.bin")
        assert folder.is_dir("./deep//level0/") and not folder.is_file("deep")
        assert folder.is_file("/empty.bin") and not folder.exists("empty.bin/x")


def test_records_without_a_tree_are_no_packed_folder():
    with pytest.raises(FormatError, match="no tree of names"):
        PackedFolder(VECTORS / "records.ffr")
