"""The environment is the one that scripts/mm-env was asked for, and importing ffrfs.mm registers with what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import pytest

import ffrfs.mm

EXPECTED = {
    "none": ({}, []),
    "lite-oldest": ({"mmcv": "1.3.18"}, ["mmcv 1.3.18"]),
    "lite-old": ({"mmcv": "1.7.2"}, ["mmcv 1.7.2"]),
    "lite-new": ({"mmengine-lite": "0.10.7"}, ["mmengine 0.10.7"]),
    "old": ({"mmcv": "1.7.2", "mmdet": "2.28.2", "mmsegmentation": "0.30.0"}, ["mmcv 1.7.2"]),
    "new": (
        {"mmengine": "0.10.7", "mmcv-lite": "2.1.0", "mmdet": "3.3.0", "mmsegmentation": "1.2.2"},
        ["mmengine 0.10.7"],
    ),
    "relatives": (
        {
            "mmengine": "0.10.7",
            "mmcv-lite": "2.0.1",
            "mmpretrain": "1.2.0",
            "mmdet3d": "1.4.0",
            "mmpose": "1.3.2",
            "mmaction2": "1.2.0",
            "mmocr": "1.0.1",
            "mmagic": "1.2.0",
            "mmyolo": "0.6.0",
        },
        ["mmengine 0.10.7"],
    ),
}


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def test_what_is_installed_is_what_was_asked_for() -> None:
    environment = os.environ.get("FFRFS_MM", "none")
    packages, _ = EXPECTED[environment]
    assert {package: installed(package) for package in packages} == packages
    if environment.startswith("lite"):
        assert find_spec("torch") is None


def test_registers_with_every_framework_there() -> None:
    _, frameworks = EXPECTED[os.environ.get("FFRFS_MM", "none")]
    if frameworks:
        assert ffrfs.mm.register() == frameworks
    else:
        with pytest.raises(ImportError, match="neither mmengine nor an mmcv"):
            ffrfs.mm.register()


def test_importing_ffrfs_imports_no_framework() -> None:
    names = {"mmcv", "mmengine", "torch", "pyfuse3", "trio"}
    code = f"import sys, ffrfs; print(sorted({names!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
