"""docs/troubleshooting.md has every message of the errors that ffrfs raises on purpose, and none that it does not."""

import ast
import re
from pathlib import Path

import ffrfs
from ffrfs import errors

SOURCES = sorted(Path(ffrfs.__file__).parent.rglob("*.py"))
DOCUMENT = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
ERRORS = {*errors.__all__, "UsageError"}
# What others say, so that it is in no source of ours.
FROM_THE_SYSTEM = "What readers see"


def rows():
    """The first cells of the tables: messages, with … for what differs."""
    sections = DOCUMENT.read_text().split("\n## ")[1:]
    tables = [section for section in sections if not section.startswith(FROM_THE_SYSTEM)]
    cells = re.findall(r"^\| (.+?) \| .+ \|$", "\n".join(tables), re.MULTILINE)
    return sorted(set(cells) - {"message"})


def template(node):
    """The text of a string or f-string, with … for what is put into it; empty for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def raised():
    """The messages given to our errors, by the line that gives them."""
    found = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ERRORS:
                text = max(map(template, node.args), key=len, default="")
                if re.search(r"[a-z]{2}", text):
                    found[f"{path.name}:{node.lineno}"] = text
    return found


def pattern(row):
    return re.compile(".*".join(map(re.escape, row.split("…"))), re.DOTALL)


def test_every_message_has_a_row():
    patterns = [pattern(row) for row in rows()]
    missing = {place: text for place, text in raised().items() if not any(p.search(text) for p in patterns)}
    assert missing == {}, "add rows to docs/troubleshooting.md"


def test_every_row_is_a_message_of_ours():
    nodes = (node for path in SOURCES for node in ast.walk(ast.parse(path.read_text())))
    texts = [text for text in map(template, nodes) if text]
    assert [row for row in rows() if not any(pattern(row).search(text) for text in texts)] == []
