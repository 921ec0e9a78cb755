"""docs/architecture.md names what is there: every room, and functions and files that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def names_in(module):
    """Functions and classes of a module, methods with their class."""
    found = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (child for child in node.body if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))
            found.update(f"{node.name}.{method.name}" for method in methods)
    return found


def test_every_room_has_a_row():
    rooms = {path.parent.name for path in (ROOT / "ffrfs").glob("*/__init__.py")}
    assert {room for room in rooms if f"`ffrfs/{room}`" not in PAGE} == set()


def test_the_files_that_it_names_are_there():
    files = re.findall(r"`(ffrfs/[\w/]+\.py)`", PAGE)
    assert files and [file for file in files if not (ROOT / file).exists()] == []


def test_the_functions_that_it_names_are_there():
    named = re.findall(r"`ffrfs\.([a-z_.0-9]+)\.(\w+(?:\.\w+)?)`", PAGE)
    assert len(named) >= 8
    for module, name in named:
        path = ROOT / "ffrfs" / f"{module.replace('.', '/')}.py"
        assert path.exists() and name in names_in(path), f"{module}.{name}"
