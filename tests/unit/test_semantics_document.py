"""docs/SEMANTICS.md and the tests that execute it: each row has a test, each test that names a row has one."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "SEMANTICS.md"


def rows():
    """The ids in the first cells of the tables."""
    cells = re.findall(r"^\| (`.+?`) \|", DOCUMENT.read_text(), re.MULTILINE)
    return [row for cell in cells for row in re.findall(r"`(.+?)`", cell)]


def named():
    """The ids that tests name by the mark `semantics`."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.semantics":
                found.update(argument.value for argument in node.args)
    return found


def test_every_row_has_a_test_and_every_test_a_row():
    assert len(rows()) == len(set(rows()))
    assert set(rows()) == named()
