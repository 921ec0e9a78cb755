"""Any tree packs to the bytes of the reference and unpacks to itself."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ffrfs import pack_folder
from ffrfs.pack.unpack import unpack
from tests.support.reference_packer import reference_archive

NAMES = st.one_of(
    st.sampled_from([b"a", b"b", b"\xe9", b"\xc3\xa9", b"aa", b"a.b", b"\xee\x80\x80", b"\xf0\x90\x80\x80"]),
    st.binary(min_size=1, max_size=6),
).filter(lambda name: not {0, ord("/")} & set(name) and name not in (b".", b".."))
TREES = st.recursive(
    st.binary(max_size=40), lambda below: st.dictionaries(NAMES, below, max_size=5), max_leaves=25
).filter(lambda tree: isinstance(tree, dict))


def make(folder, tree):
    os.mkdir(folder)
    for name, below in tree.items():
        path = os.path.join(folder, name)
        if isinstance(below, dict):
            make(path, below)
        else:
            with open(path, "wb") as file:
                file.write(below)


def read(folder):
    return {
        name: read(os.path.join(folder, name))
        if os.path.isdir(os.path.join(folder, name))
        else Path(os.fsdecode(os.path.join(folder, name))).read_bytes()
        for name in os.listdir(folder)
    }


@settings(max_examples=80, deadline=None)
@given(TREES)
def test_a_tree_packs_as_the_reference_packs_it_and_unpacks_to_itself(tree):
    with tempfile.TemporaryDirectory() as folder:
        make(os.fsencode(folder) + b"/source", tree)
        pack_folder(f"{folder}/source", f"{folder}/out.ffr")
        assert Path(folder, "out.ffr").read_bytes() == reference_archive(f"{folder}/source")
        unpack(f"{folder}/out.ffr", f"{folder}/target")
        assert read(os.fsencode(folder) + b"/target") == tree
