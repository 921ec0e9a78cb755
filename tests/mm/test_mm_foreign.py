"""A repository that registers a class of its own as `ffrecord` is neither broken nor silently replaced."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FRAMEWORK = "mmengine" if os.environ["FFRFS_MM"] in ("lite-new", "new") else "mmcv"

THEIRS = """
def theirs():
    @FileClient.register_backend("ffrecord")
    class FFrecordClient(BaseStorageBackend):
        def __init__(self, fname): pass
        def get(self, filepath): return b"theirs"
        def get_text(self, filepath): return "theirs"
"""
IMPORTS = {
    "mmengine": "from mmengine.fileio import FileClient, BaseStorageBackend",
    "mmcv": "from mmcv import FileClient, BaseStorageBackend",
}[FRAMEWORK]
READ = 'print(FileClient("ffrecord", fname=".").get("x").decode())'


def run(*steps: str) -> tuple[str, str]:
    """The last line that a script prints, mmengine's log being before it, and its standard error."""
    script = "\n".join(["import warnings; warnings.simplefilter('always', UserWarning)", IMPORTS, THEIRS, *steps])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1], done.stderr


def test_a_class_that_is_registered_later_takes_the_name_and_it_is_said() -> None:
    output, warnings = run("import ffrfs.mm", "theirs()", READ)
    assert output == "theirs" and "the backend 'ffrecord' of ffrfs.mm is replaced by another class" in warnings


def test_a_class_that_is_registered_already_keeps_the_name_and_it_is_said() -> None:
    output, warnings = run("theirs()", "import ffrfs.mm", READ)
    assert output == "theirs" and "FFrecordClient, registered before ffrfs.mm" in warnings


def test_other_backends_are_registered_as_ever() -> None:
    output, warnings = run(
        "import ffrfs.mm",
        'FileClient.register_backend("another", ffrfs.mm.FFRecordClient)',
        'try: FileClient.register_backend("another", ffrfs.mm.FFRecordClient)\nexcept KeyError as e: print("refused")',
    )
    assert output == "refused" and "replaced" not in warnings


@pytest.mark.skipif(FRAMEWORK != "mmengine", reason="mmcv 1.x has no such function")
def test_the_function_of_mmengine_gives_way_too() -> None:
    output, warnings = run(
        "import ffrfs.mm, mmengine.fileio as fileio",
        "class Theirs(fileio.LocalBackend): pass",
        'fileio.register_backend("ffrecord", Theirs)',
        'print(type(fileio.get_file_backend(backend_args={"backend": "ffrecord"})).__name__)',
    )
    assert output == "Theirs" and "replaced by another class" in warnings
