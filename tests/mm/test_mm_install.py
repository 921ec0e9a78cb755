"""`ffrfs install-mm`: what it writes into an environment, and that the frameworks know the backend from then on."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from ffrfs.mm import FFRecordClient
from ffrfs.mm.at_import import FrameworkFinder
from ffrfs.mm.install import PTH
from tests.mm.conftest import FRAMEWORK

CHECKOUT = Path(__file__).parents[2]
PHOTO = "data/coco/train2017/000000000001.jpg"
ARGUMENTS = {"backend": "ffrecord", "fname": "coco.ffr", "path_prefix": "data/coco/"}
MODULES = "import sys; print(*sorted(sys.modules))"
needs_framework = pytest.mark.skipif(not FRAMEWORK, reason="no framework in this environment")


class Environment:
    """A virtual environment of its own that has, beside its own folder, what this process can import."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.folder, self.python = folder, folder / "bin/python"
        self.path = [entry or str(CHECKOUT) for entry in sys.path]

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        return subprocess.run(
            [self.python, *arguments],
            cwd=cwd or self.folder,
            env=variables | {"PYTHONPATH": os.pathsep.join(self.path)},
            capture_output=True,
            text=True,
        )

    def pth_files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.pth"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture
def installed(environment: Environment) -> Environment:
    ran = environment.run("-m", "ffrfs", "install-mm")
    assert ran.returncode == 0, ran.stderr
    return environment


def test_writes_one_file_and_removes_it(environment: Environment) -> None:
    before = environment.pth_files()
    for _ in range(2):
        ran = environment.run("-m", "ffrfs", "install-mm")
        assert ran.returncode == 0, ran.stderr
        (written,) = set(environment.pth_files()) - set(before)
        assert ran.stdout == f"{written}\n"
        assert written.name == PTH
        assert written.parent.name == "site-packages"
    assert environment.run("-m", "ffrfs", "install-mm", "--remove").stdout == f"{written}\n"
    assert environment.pth_files() == before
    assert environment.run("-m", "ffrfs", "install-mm", "--remove").stdout == f"{PTH} is not installed\n"


def test_nothing_is_imported_for_it_at_start(environment: Environment) -> None:
    environment.run("-m", "ffrfs", "install-mm", "--remove")
    before = environment.run("-c", MODULES)
    environment.run("-m", "ffrfs", "install-mm")
    after = environment.run("-c", MODULES)
    assert after.stdout == before.stdout
    assert after.stderr == ""
    finders = environment.run("-c", "import sys; print(type(sys.meta_path[0]).__name__)").stdout
    assert finders == "FrameworkFinder\n"


def test_a_python_without_virtual_environment_is_refused() -> None:
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    ran = subprocess.run(
        [python, "-m", "ffrfs", "install-mm"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(entry or str(CHECKOUT) for entry in sys.path)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert "belongs to the system, not to a virtual environment" in ran.stderr
    assert "Traceback" not in ran.stderr


@needs_framework
@pytest.mark.parametrize("start", ["import {0}", "import {0}.fileio", "from {0} import FileClient"])
def test_the_backend_is_declared_when_the_framework_is_imported(
    installed: Environment, in_data: Path, start: str
) -> None:
    script = f"""
import sys
assert "ffrfs" not in sys.modules
{start.format(FRAMEWORK)}
from {FRAMEWORK} import FileClient
print(len(FileClient(**{ARGUMENTS!r}).get({PHOTO!r})))
"""
    ran = installed.run("-c", script, cwd=in_data)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.split()[-1]) == (in_data / "coco/train2017/000000000001.jpg").stat().st_size


@needs_framework
def test_spawned_workers_know_the_backend_whatever_they_are_given(installed: Environment, in_data: Path) -> None:
    (in_data / "spawning.py").write_text(f"""
from multiprocessing import get_context

def size(path):
    from {FRAMEWORK} import FileClient
    return len(FileClient(**{ARGUMENTS!r}).get(path))

if __name__ == "__main__":
    with get_context("spawn").Pool(1) as pool:
        print(*pool.map(size, [{PHOTO!r}]))
""")
    ran = installed.run("spawning.py", cwd=in_data)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.split()[-1]) == (in_data / "coco/train2017/000000000001.jpg").stat().st_size


@needs_framework
def test_the_framework_is_imported_as_without(installed: Environment) -> None:
    """The finder leaves the module's loader, its source and its reloading as they are."""
    script = f"""
import importlib, importlib.util, inspect
assert importlib.util.find_spec("{FRAMEWORK}").loader.get_filename().endswith("__init__.py")
import {FRAMEWORK}
assert type({FRAMEWORK}.__spec__.loader).__name__ == "SourceFileLoader"
assert inspect.getsource({FRAMEWORK})
importlib.reload({FRAMEWORK}.utils)
"""
    ran = installed.run("-c", script)
    assert ran.returncode == 0, ran.stderr


@needs_framework
def test_an_environment_that_ffrfs_has_left_is_told_of_the_file(installed: Environment, tmp_path: Path) -> None:
    frameworks = Environment.__new__(Environment)
    frameworks.folder, frameworks.python = tmp_path, installed.python
    frameworks.path = [entry for entry in installed.path if not Path(entry, "ffrfs").exists()]
    ran = frameworks.run("-c", f"import {FRAMEWORK}; print('goes on')")
    assert ran.stdout == "goes on\n"
    assert "No module named 'ffrfs'" in ran.stderr
    assert f"remove {PTH}" in ran.stderr


def test_importing_ffrfs_mm_waits_for_no_framework(environment: Environment) -> None:
    names = {"mmcv", "mmengine", "torch", "cv2"}
    ran = environment.run("-c", f"import sys, ffrfs.mm; print(sorted({names!r} & set(sys.modules)))")
    assert ran.stdout == "[]\n", ran.stderr


@needs_framework
def test_a_framework_imported_after_ffrfs_mm_knows_the_backend(environment: Environment) -> None:
    environment.run("-m", "ffrfs", "install-mm", "--remove")
    script = f"import ffrfs.mm, {FRAMEWORK}; print('ffrecord' in {FRAMEWORK}.FileClient._backends)"
    ran = environment.run("-c", script)
    assert ran.stdout == "True\n", ran.stderr


def test_one_finder_is_enough(installed: Environment) -> None:
    script = "import sys, ffrfs.mm; print([type(f).__name__ for f in sys.meta_path].count('FrameworkFinder'))"
    assert installed.run("-c", script).stdout == "1\n"


def test_the_finder_finds_nothing_else() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert FrameworkFinder().find_spec("json") is None


def test_petrel_s_options_of_get_are_taken(in_data: Path) -> None:
    client = FFRecordClient("coco.ffr", "data/coco")
    assert client.get(PHOTO, enable_stream=True, no_cache=True) == client.get(PHOTO)
    assert client.get([PHOTO], update_cache=True) == [client.get(PHOTO)]
