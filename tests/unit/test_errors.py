"""How errors read."""

import pickle

import pytest

from ffrfs.errors import ChecksumError, FormatError, PackError, TruncatedError, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("nämé 名前 \U0001f600", "nämé 名前 \U0001f600"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[31mred", r"\x1b[31mred"),
        (b"\xff.jpg", r"\xff.jpg"),
        ("\udcff.jpg", r"\xff.jpg"),
        ("\ud800", r"\ud800"),
        ("right\u202eleft", r"right\u202eleft"),
        (b"", ""),
    ],
)
def test_names_are_shown_as_one_harmless_line(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    "error",
    [
        FormatError("a\n.ffr", "a\x1b problem", offset=7),
        TruncatedError("a\n.ffr", "a\x1b problem", offset=7),
        ChecksumError("a\n.ffr", "a\x1b problem", record=1, expected=2, actual=3),
        PackError("a\n.ffr", "a\x1b problem"),
    ],
)
def test_errors_about_files_are_one_line_and_survive_pickling(error):
    assert str(error) == r"a\n.ffr: a\x1b problem"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
