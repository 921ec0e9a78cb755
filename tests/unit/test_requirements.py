"""What CI and `make` install: pinned, hashed, and nothing else in its place."""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

pytest.importorskip("packaging")

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
FRAMEWORKS = sorted((ROOT / "tests" / "mm" / "requirements").glob("*.txt"))  # of both generations: other versions
UNHASHED = {"torch.txt"}  # which of its builds is installed depends on the package index


def pins(path):
    """The requirements in a file of uv's, each with its hashes."""
    logical = path.read_text().replace("\\\n", " ")
    lines = [line.strip() for line in logical.splitlines() if line.strip() and not line.strip().startswith("#")]
    return [(Requirement(line.partition(" --hash")[0]), re.findall(r"--hash=(\S+)", line)) for line in lines]


@pytest.mark.parametrize("path", FILES + FRAMEWORKS, ids=lambda path: path.name)
def test_every_requirement_is_one_version_and_has_hashes(path):
    found = pins(path)
    assert found
    for requirement, hashes in found:
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert bool(hashes) == (path.name not in UNHASHED), requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes), requirement


def test_what_several_files_pin_is_the_same_everywhere():
    """Markers aside: for one Python, one version of a package."""
    versions = {}
    for path in FILES:
        for requirement, _ in pins(path):
            if requirement.marker is None or requirement.marker.evaluate():
                versions.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_what_is_installed_is_what_is_pinned():
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("these tests do not run in the environment that scripts/setup makes")
    installed = {canonicalize_name(found.metadata["Name"]): found.version for found in distributions()}
    wanted = {
        canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement, _ in pins(ROOT / "requirements" / "test.txt")
        if requirement.marker is None or requirement.marker.evaluate()
    }
    assert wanted == {name: installed.get(name) for name in wanted}


def test_the_container_installs_nothing_that_is_not_pinned():
    text = (ROOT / "docs" / "containers" / "Containerfile").read_text()
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert len(installs) == 3 and "FROM debian:bookworm-slim" not in text
    for line in installs:
        assert (
            "--require-hashes -r /src/requirements/container" in line or "--no-build-isolation --no-deps /src" in line
        )
