"""Hints: inodes as names that no file has."""

import os

import pytest

from ffrfs import prefetch
from ffrfs.hints import HINT_PREFIX, decode_hint, encode_hints


@pytest.mark.parametrize("count", [0, 1, 47, 48, 49, 1000])
def test_hints_round_trip_as_legal_names(count):
    inodes = [(i * 2654435761) % (1 << 32) for i in range(count)]
    names = list(encode_hints(inodes))
    assert [inode for name in names for inode in decode_hint(name)] == inodes
    for name in names:
        assert len(name) <= 255
        assert b"/" not in name
        assert b"\0" not in name


@pytest.mark.parametrize("name", [b"a.jpg", HINT_PREFIX + b"abc", HINT_PREFIX + b"\xff" * 5, HINT_PREFIX[:-1]])
def test_other_names_announce_nothing(name):
    assert decode_hint(name) == []


def test_files_elsewhere_are_announced_to_the_kernel_and_missing_ones_passed_over(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    os.mkfifo(tmp_path / "fifo")
    assert prefetch([tmp_path / "a", tmp_path / "missing", tmp_path / "fifo"]) == 0
