"""The README and the quick start, typed as they stand in an empty folder; and what is known of other pages' blocks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXECUTED = [ROOT / "README.md", ROOT / "docs/quickstart.md"]
_BLOCK = re.compile(r"(<!-- not executed: [^>]+ -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Pages whose blocks a test elsewhere executes, or why none does.
OTHERS = {
    "docs/operations.md": "tests/systemd/test_operations.py",
    "docs/install.md": "installs packages of the system",
    "docs/containers.md": "tests/systemd/test_containers.py",
    "docs/troubleshooting.md": "tests/integration/test_doctor.py",
    "docs/format.md": "layouts of bytes, no commands",
    "docs/openmmlab.md": "tests/mm/test_mm_docs.py",
    "docs/architecture.md": "layouts of folders, no commands",
    "docs/man/ffrfs.1.md": "examples that the commands give of themselves",
    "docs/man/mount.ffrfs.8.md": "examples that the commands give of themselves",
    "docs/object-storage.md": "tests of the object store",
    "docs/pytorch.md": "tests/pytorch",
    "docs/from-ffrecord.md": "tests/pytorch",
    "CONTRIBUTING.md": "the commands of CI",
    "CHANGELOG.md": "history",
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each block of a page that is to be executed."""
    found = _BLOCK.findall(page.read_text())
    return [(language, text) for mark, language, text in found if not mark]


@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: page.name)
def test_every_command_works_as_typed(page: Path, fuse: None, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/ffrfs"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m ffrfs "$@"\n')
    command.chmod(0o755)
    home = tmp_path / "home"
    environment = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "HOME": str(home), "PYTHONPATH": ""}
    found = blocks(page)
    assert {language for language, _ in found} == {"sh", "python"}
    try:
        for language, text in found:
            program = ["bash", "-euo", "pipefail", "-c", text] if language == "sh" else [sys.executable, "-c", text]
            ran = subprocess.run(
                program, cwd=tmp_path, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
            )
            assert (ran.returncode, ran.stderr) == (0, ""), text
    finally:
        for folder in ("mnt", "data/coco"):  # where a block has failed
            if os.path.ismount(tmp_path / folder):
                subprocess.run([command, "umount", tmp_path / folder], env=environment)


def test_blocks_of_other_pages_are_accounted_for() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    with_blocks = {page for page in pages if re.search(r"^(```|    \S)", page.read_text(), re.MULTILINE)}
    names = {str(page.relative_to(ROOT)) for page in with_blocks - set(EXECUTED)}
    assert names - OTHERS.keys() == set(), "execute their blocks, or say here where that is done"
    tests = [reason for name, reason in OTHERS.items() if reason.endswith(".py") and name in names]
    assert [test for test in tests if not (ROOT / test).exists()] == []
