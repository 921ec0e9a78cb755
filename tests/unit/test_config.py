"""The configuration file of a mount: what is read, and that every mistake names the file and the key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ffrfs.errors import ConfigError, MountError
from ffrfs.mount.config import MountConfig, read_config
from ffrfs.mount.options import MountOptions

EXAMPLE = Path(__file__).parents[2] / "systemd" / "example.toml"


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "coco.toml"


def test_the_documented_example_is_read() -> None:
    config = read_config(EXAMPLE)
    assert (config.archive, config.mountpoint) == ("/data/coco.ffr", "/mnt/coco")
    assert config.options == MountOptions(allow_other=True)


def test_options_may_be_left_out(config_file: Path) -> None:
    config_file.write_text('archive = "/a.ffr"\nmountpoint = "/mnt"\n')
    assert read_config(config_file).options == MountOptions()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('archive = "/a.ffr"\nmountpoint = "/mnt"\narchve = "/b.ffr"', "archve: unknown key"),
        ('archive = "/a.ffr"\nmountpoint = "/mnt"\n[service]\nx = 1', "service: unknown key"),
        ('mountpoint = "/mnt"', "archive: missing"),
        ('archive = "/a.ffr"', "mountpoint: missing"),
        ('archive = 7\nmountpoint = "/mnt"', "archive: must be an absolute path"),
        ('archive = "a.ffr"\nmountpoint = "/mnt"', "archive: must be an absolute path"),
        ('archive = "/a\\u0000"\nmountpoint = "/mnt"', "archive: must be an absolute path"),
        ('archive = "/a.ffr"\nmountpoint = ["/mnt"]', "mountpoint: must be an absolute path"),
        ('archive = "/a.ffr"\nmountpoint = "/mnt"\noptions = "allow_other"', "options: must be a list"),
        ('archive = "/a.ffr"\nmountpoint = "/mnt"\noptions = ["uid=1", 2]', "options: must be a list"),
        ('archive = "/a.ffr"\nmountpoint = "/mnt"\noptions = ["alow_other"]', "options: there is no mount option"),
        ('archive = "/a.ffr"\nmountpoint = "/mnt"\noptions = ["uid=ada"]', "options: option uid"),
        ('archive = "/a.ffr', "not TOML"),
    ],
)
def test_a_mistake_names_file_and_key(config_file: Path, text: str, key: str) -> None:
    config_file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_config(config_file)
    assert str(raised.value).startswith(f"{config_file}: {key}")
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_a_configuration_error(config_file: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_config(config_file)
    config_file.write_bytes(b"archive = '\xff'")
    with pytest.raises(ConfigError, match="not TOML"):
        read_config(config_file)


def configured(archive: Path) -> MountConfig:
    return MountConfig(Path("/etc/ffrfs/coco.toml"), os.fspath(archive), "/mnt", MountOptions())


def test_an_archive_that_is_there_is_accepted_as_file_or_folder(tmp_path: Path) -> None:
    configured(tmp_path).require_archive()
    (tmp_path / "a.ffr").touch()
    configured(tmp_path / "a.ffr").require_archive()


def test_a_wrong_name_beside_other_files_is_a_mistake_that_waiting_does_not_mend(tmp_path: Path) -> None:
    (tmp_path / "b.ffr").touch()
    with pytest.raises(ConfigError, match=r"coco\.toml: archive: there is no .*a\.ffr"):
        configured(tmp_path / "a.ffr").require_archive()


@pytest.mark.parametrize("folder", ["", "missing"])
def test_an_empty_or_missing_folder_is_storage_that_may_still_come(tmp_path: Path, folder: str) -> None:
    with pytest.raises(MountError, match=r"coco\.toml: archive: .*mount its storage"):
        configured(tmp_path / folder / "a.ffr").require_archive()


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 5000, "x = " + "[" * 5000 + "]" * 5000, "x = " + "9" * 5000, "x = 1" + "0" * (1 << 20)]
)
def test_what_no_parser_likes_is_no_configuration(config_file: Path, text: str) -> None:
    config_file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(config_file)
    assert len(str(caught.value)) < 500


def test_a_configuration_without_an_end() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: longer than 1 MiB"):
        read_config("/dev/zero")


def test_options_that_are_too_long_to_be_shown(config_file: Path) -> None:
    config_file.write_text('archive = "/a.ffr"\nmountpoint = "/mnt"\noptions = [' + "[]," * 9999 + "]")
    with pytest.raises(ConfigError) as caught:
        read_config(config_file)
    assert len(str(caught.value)) < 500
