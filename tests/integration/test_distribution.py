"""What `python -m build` makes, installed where nothing of ffrfs is: wheel and sdist, without and with FUSE."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program that must succeed; returns its output."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist; the wheel is built from the sdist."""
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [wheel] = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def sdist(built: Path) -> Path:
    [sdist] = built.glob("*.tar.gz")
    return sdist


@pytest.fixture
def installed(tmp_path: Path) -> Callable[[str], Path]:
    """A function that installs into an environment that has nothing; returns the environment's commands."""

    def install(requirement: str) -> Path:
        venv.create(tmp_path / "environment", with_pip=True)
        commands = tmp_path / "environment/bin"
        run(commands / "python", "-m", "pip", "install", "--quiet", requirement)
        return commands

    return install


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / "ffrfs").rglob("*.py")}
    wanted |= {"ffrfs/py.typed", "ffrfs/mount/systemd/ffrfs@.service", "ffrfs/mount/systemd/example.toml"}
    wanted.add("ffrfs/mount/systemd/ffrfs-exporter.service")
    assert {name for name in names if ".dist-info/" not in name} == wanted


def test_the_sdist_has_what_building_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "ffrfs/__init__.py"} <= names


def test_without_fuse(wheel: Path, installed: Callable[[str], Path], tmp_path: Path) -> None:
    commands = installed(str(wheel))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("contents")
    run(commands / "ffrfs", "pack", "folder", "a.ffr", cwd=tmp_path)
    assert run(commands / "ffrfs", "cat", "a.ffr", "file", cwd=tmp_path) == "contents"
    read = "import ffrfs; print(ffrfs.PackedFolder('a.ffr').read_one('file').tobytes())"
    assert run(commands / "python", "-c", read, cwd=tmp_path) == "b'contents'\n"
    run(commands / "ffrfs", "install-systemd", "--help")
    refused = subprocess.run([commands / "ffrfs", "mount", "a.ffr", "m"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 3 and "mounting needs pyfuse3 and trio" in refused.stderr


def test_with_fuse(sdist: Path, installed: Callable[[str], Path], tmp_path: Path, fuse: None) -> None:
    commands = installed(f"{sdist}[fuse]")
    for folder in ("folder", "mnt"):
        (tmp_path / folder).mkdir()
    (tmp_path / "folder/file").write_text("contents")
    run(commands / "ffrfs", "pack", "folder", "a.ffr", cwd=tmp_path)
    assert run(commands / "ffrfs", "run", "a.ffr", "mnt", "--", "cat", "mnt/file", cwd=tmp_path) == "contents"
