"""The manual pages say what the commands say of themselves."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from ffrfs.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "man").glob("*.md"))


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "scripts" / "write_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_up_to_date(reference):
    for path, heading, text in reference.parts():
        page = path.read_text()
        assert page == reference.with_section(page, heading, text), "run python scripts/write_reference.py"


def test_every_command_has_an_example(reference):
    page = (ROOT / "docs" / "man" / "ffrfs.1.md").read_text()
    for name in cli.list_commands(click.Context(cli)):
        assert f"\n    ffrfs {name}" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_pages_become_man_pages(page, tmp_path):
    if shutil.which("go-md2man") is None:
        pytest.skip("go-md2man is missing: install the package of this name")
    target = tmp_path / page.stem
    made = subprocess.run(["go-md2man", "-in", page, "-out", target], capture_output=True, text=True)
    assert (made.returncode, made.stderr) == (0, "")
    assert target.read_text().count(".SH") == page.read_text().count("\n# ")
