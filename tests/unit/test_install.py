"""`ffrfs install-systemd`: which files, with what in them, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffrfs.errors import ConfigError
from ffrfs.mount.install import install_on_node


@pytest.fixture
def program_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    for program in ("ffrfs", "mount.ffrfs"):
        (folder / program).touch(mode=0o755)
    return folder


def configure(root: Path, name: str, text: str) -> None:
    (root / "etc/ffrfs").mkdir(parents=True, exist_ok=True)
    (root / f"etc/ffrfs/{name}.toml").write_text(text)


def test_unit_helpers_and_example_are_put_in_place(tmp_path: Path, program_folder: Path) -> None:
    root = tmp_path / "node"
    written = {path.relative_to(root).as_posix() for path in install_on_node(root, program_folder, ())}
    assert written == {
        "etc/systemd/system/ffrfs@.service", "etc/systemd/system/ffrfs-exporter.service",
        "sbin/mount.ffrfs", "sbin/mount.fuse.ffrfs", "etc/ffrfs/example.toml",
    }  # fmt: skip
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()} == written
    unit = (root / "etc/systemd/system/ffrfs@.service").read_text()
    assert f"ExecStart={program_folder}/ffrfs mount " in unit
    assert "/usr/bin/ffrfs" not in unit
    assert (root / "sbin/mount.fuse.ffrfs").resolve() == program_folder / "mount.ffrfs"


def test_a_second_installation_replaces_the_first(tmp_path: Path, program_folder: Path) -> None:
    root = tmp_path / "node"
    first = list(install_on_node(root, program_folder, ()))
    first[0].write_text("old")
    assert list(install_on_node(root, program_folder, ())) == first
    assert first[0].read_text() != "old"


def test_a_named_mount_is_tied_to_its_storage(tmp_path: Path, program_folder: Path) -> None:
    root = tmp_path / "node"
    configure(root, "coco", "archive = '/da ta/100%/\"c\".ffr'\nmountpoint = '/mnt/coco/'\n")
    drop_in = list(install_on_node(root, program_folder, ("coco",)))[-1]
    assert drop_in.relative_to(root).as_posix() == "etc/systemd/system/ffrfs@coco.service.d/storage.conf"
    assert 'RequiresMountsFor="/da ta/100%%/\\"c\\".ffr" "/mnt"' in drop_in.read_text().splitlines()


def test_nothing_is_written_for_a_name_without_a_good_configuration(tmp_path: Path, program_folder: Path) -> None:
    root = tmp_path / "node"
    with pytest.raises(ConfigError, match=r"coco\.toml"):
        list(install_on_node(root, program_folder, ("coco",)))
    assert not root.exists()


def test_programs_that_are_not_there_are_not_linked(tmp_path: Path, program_folder: Path) -> None:
    (program_folder / "mount.ffrfs").unlink()
    with pytest.raises(ConfigError, match=r"mount\.ffrfs is not there"):
        list(install_on_node(tmp_path / "node", program_folder, ()))
