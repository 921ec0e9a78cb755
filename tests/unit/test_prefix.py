"""Roots cut off paths, however they are spelled."""

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ffrfs.archive.prefix import PathPrefix

PREFIXES = [None, "", "/", "data", "data/", "./data", "/data/coco", "/data/coco/"]
PATHS = st.lists(st.sampled_from(["a", "data", "coco", "etc", "..", ".", ""]), max_size=8).map("/".join)


@pytest.mark.parametrize("prefix", PREFIXES)
@given(path=PATHS)
@example(path="data//etc/passwd")
@example(path="/data/coco//etc/passwd")
@example(path="//etc/passwd")
def test_what_is_left_is_never_absolute_and_never_climbs(prefix, path):
    inside = PathPrefix(prefix).cut(path)
    if inside is not None:
        assert not os.path.isabs(inside)
        assert os.path.normpath(os.path.join("/copies", inside)).startswith("/copies")


@pytest.mark.parametrize(
    ("prefix", "path", "inside"),
    [
        ("data", "data/a/b", "a/b"),
        ("data/", "data//a", "a"),
        ("data", "data///a//b", "a//b"),
        ("/data", "/data//etc", "etc"),
        (None, "//etc", "etc"),
        ("data", "database/a", None),
        ("data", "data/../a", None),
    ],
)
def test_examples(prefix, path, inside):
    assert PathPrefix(prefix).cut(path) == inside
