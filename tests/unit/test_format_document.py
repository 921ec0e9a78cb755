"""What docs/format.md says is so."""

import re
from pathlib import Path

import numpy as np

from ffrfs import pack_folder
from ffrfs.format.index import Index

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
