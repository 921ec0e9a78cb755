"""The table of the relatives in docs/openmmlab.md names each config of theirs, and none that is not tested."""

from __future__ import annotations

import re
from pathlib import Path

from tests.mm.relatives import RELATIVES, SOURCES

DOCUMENT = Path(__file__).parents[2] / "docs/openmmlab.md"
TITLES = {"arguments": "archive", "URI": "uri", "mount": "mount"}


def table() -> list[list[str]]:
    """The rows of the table, heading first, as cells."""
    section = DOCUMENT.read_text().split("\n## The relatives\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if not set("".join(row)) <= {"-"}]


def test_each_cell_links_the_config_that_is_tested() -> None:
    heading, *rows = table()
    assert list(TITLES) == heading[2:5]
    assert {TITLES[title] for title in heading[2:5]} == set(SOURCES)
    linked = [[re.findall(r"\]\(\.\./(configs/\S+?)\)", cell) for cell in row[2:5]] for row in rows]
    root = DOCUMENT.parents[1]
    wanted = [[[str(each.config(source).relative_to(root))] for source in SOURCES] for each in RELATIVES]
    assert linked == wanted


def test_there_is_a_test_for_each_config() -> None:
    folders = {relative.config("uri").parent for relative in RELATIVES}
    found = {path for folder in folders for path in folder.glob("*.py")}
    assert found == {relative.config(source) for relative in RELATIVES for source in SOURCES}
