"""Several archives at one mount point, and a folder of one, against the same trees on disk."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.archives import Directory, write_archive, write_tree
from tests.support.mounts import Mounted, list_mounts
from tests.support.processes import ffrfs
from tests.support.trees import content

LOWER: Directory = {
    b"train": {b"1.jpg": content(5000, 1), b"2.jpg": content(200, 2), b"deep": {b"x": b"x"}},
    b"both": {b"a": b"lower", b"b": b"lower"},
    b"file or folder": {b"hidden": b"hidden"},
    b"large": content((3 << 20) + 11, 3),
}
UPPER: Directory = {
    b"train": {b"2.jpg": content(300_000, 4), b"3.jpg": b""},
    b"both": {b"b": b"upper", b"c": b"upper"},
    b"file or folder": b"a file",
    b"more": {},
}
UNION: Directory = {
    b"train": {**LOWER[b"train"], **UPPER[b"train"]},  # type: ignore[dict-item]
    b"both": {b"a": b"lower", b"b": b"upper", b"c": b"upper"},
    b"file or folder": b"a file",
    b"large": LOWER[b"large"],
    b"more": {},
}


@pytest.fixture
def archives(tmp_path: Path) -> tuple[Path, Path]:
    return write_archive(tmp_path / "lower.ffr", LOWER), write_archive(tmp_path / "upper.ffr", UPPER)


def assert_shows(mount: Mounted, tree: Directory, folder: Path) -> None:
    write_tree(folder, tree)
    compared = subprocess.run(["diff", "-r", folder, mount.path], capture_output=True, text=True)
    assert (compared.returncode, compared.stdout, compared.stderr) == (0, "", "")


@pytest.mark.semantics("view-union")
def test_archives_laid_over_each_other(
    mount: Callable[..., Mounted], archives: tuple[Path, Path], tmp_path: Path
) -> None:
    lower, upper = archives
    mounted = mount(lower, "union", others=(upper,))
    assert_shows(mounted, UNION, tmp_path / "expected")
    assert_shows(mount(upper, "union", others=(lower,)), {**UPPER, **LOWER, **_merged()}, tmp_path / "other")
    (source,) = [found.source for found in list_mounts() if found.mountpoint == str(mounted.path)]
    assert source == f"{lower}:{upper}"


def _merged() -> Directory:
    return {
        b"train": {**UPPER[b"train"], **LOWER[b"train"]},  # type: ignore[dict-item]
        b"both": {b"a": b"lower", b"b": b"lower", b"c": b"upper"},
    }


@pytest.mark.semantics("view-folders")
def test_archives_beside_each_other(mount: Callable[..., Mounted], archives: tuple[Path, Path], tmp_path: Path) -> None:
    mounted = mount(archives[0], others=archives[1:])
    assert_shows(mounted, {b"lower": LOWER, b"upper": UPPER}, tmp_path / "expected")


@pytest.mark.semantics("view-subdir")
def test_a_folder_of_an_archive(mount: Callable[..., Mounted], archives: tuple[Path, Path], tmp_path: Path) -> None:
    mounted = mount(archives[0], "subdir=/train/")
    assert_shows(mounted, LOWER[b"train"], tmp_path / "expected")  # type: ignore[arg-type]
    assert mounted.path.stat().st_nlink == 3


def test_a_damaged_file_of_a_view_is_an_error(
    mount: Callable[..., Mounted], archives: tuple[Path, Path], tmp_path: Path
) -> None:
    lower, upper = archives
    upper.write_bytes(upper.read_bytes().replace(b"a file", b"a fill"))
    mounted = mount(lower, "union", others=(upper,))
    mounted.tolerated.append(r"upper\.ffr: .*the archive is damaged there")
    with pytest.raises(OSError, match="Input/output error"):
        (mounted.path / "file or folder").read_bytes()
    assert (mounted.path / "both/a").read_bytes() == b"lower"


def test_views_that_cannot_be(archives: tuple[Path, Path], tmp_path: Path, fuse: None) -> None:
    lower, _ = archives
    (tmp_path / "mnt").mkdir()
    for arguments, status, message in (
        ((lower, lower), 2, "would both be the folder lower"),
        (("-o", "subdir=missing", lower), 1, "lower.ffr/missing"),
        (("-o", "subdir=large", lower), 1, "Not a directory"),
    ):
        done = ffrfs("mount", *arguments, tmp_path / "mnt")
        assert done.returncode == status and message in done.stderr and len(done.stderr.splitlines()) == 1, done
