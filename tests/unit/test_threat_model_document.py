"""docs/threat-model.md names tests and promises that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text()


def test_the_tests_that_it_names_are_there():
    named = re.findall(r"`((?:tests|systemd|requirements)/[\w/@.]+)`", TEXT)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []
    modules = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"`(test_\w+\.py)`", TEXT)) <= modules


def test_the_promises_that_it_names_are_rows():
    rows = set(re.findall(r"`([\w-]+)`", (ROOT / "docs" / "SEMANTICS.md").read_text()))
    named = {row for group in re.findall(r"\[(`[^\]]+`)\](?!\()", TEXT) for row in re.findall(r"`([\w-]+)`", group)}
    assert len(named) > 10
    assert named <= rows
