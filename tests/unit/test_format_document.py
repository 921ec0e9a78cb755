"""What docs/format.md says is so."""

import pickletools
import random
import re
from pathlib import Path

import numpy as np
import pytest

from ffrfs import FileReader, PackedFolder, pack_folder
from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.format import pickled
from ffrfs.format.index import Index
from tests.fuzz.targets import unpickled
from tests.support.archives import TREE_MAGIC, archive_of
from tests.support.grammar import TreeGenerator, productions

DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"


def test_the_example_is_what_packing_gives(tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"hello\n")
    (folder / "sub" / "b").write_bytes(b"hi")
    pack_folder(folder, tmp_path / "example.ffr")
    lines = re.findall(r"^    [0-9a-f]{8}  ((?:[0-9a-f]{2} {1,2})+)", DOCUMENT.read_text(), re.MULTILINE)
    assert bytes.fromhex("".join(lines)) == (tmp_path / "example.ffr").read_bytes()


def test_the_arrays_of_the_index_are_those_of_the_table():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", DOCUMENT.read_text(), re.MULTILINE)
    types = {name: {"bytes": np.dtype("u1")}.get(kind) or np.dtype(kind) for name, kind in rows}
    assert types == {name: np.dtype(kind) for name, kind in Index.ARRAYS.items()}


def test_the_parser_s_grammar_is_the_document_s():
    assert productions(pickled.__doc__) == productions(DOCUMENT.read_text())


def test_a_large_tree_has_frames_anywhere(tmp_path):
    """As the reference, which pickles in the same way, writes them."""
    (tmp_path / "in").mkdir()
    for number in range(6000):
        (tmp_path / f"in/{number:012d}.jpg").touch()
    pack_folder(tmp_path / "in", tmp_path / "a.ffr")
    with FileReader(tmp_path / "a.ffr") as reader:
        tree = reader.read_one(reader.n - 1).tobytes().removeprefix(TREE_MAGIC)
    opcodes = [opcode.name for opcode, *_ in pickletools.genops(tree)]
    assert opcodes.count("FRAME") > 1
    with PackedFolder(tmp_path / "a.ffr") as folder:
        assert folder.num_files() == 6000


@pytest.mark.parametrize("seed", range(200))
def test_every_tree_of_the_grammar_is_read_as_pickle_reads_it(tmp_path, seed):
    tree = TreeGenerator(productions(DOCUMENT.read_text()), random.Random(seed), records=3).pickle()
    archive = tmp_path / "a.ffr"
    archive.write_bytes(archive_of([b"one", b"two", b"three", TREE_MAGIC + tree]))
    shards = Shards(archive)
    index = build(shards)
    shards.close()
    expected = unpickled(tree)
    assert expected is not None
    assert {index.path(inode): max(index.record(inode), -1) for inode in index.walk()} == expected
