"""What a node needs besides the Python package, put in place on request: the systemd units and the mount helpers.

Nothing is enabled or started: the caller shows the paths, the administrator decides. May be called by any thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from ffrfs.errors import ConfigError
from ffrfs.mount.config import read_config

__all__ = ["install_on_node"]

_UNITS = ("ffrfs@.service", "ffrfs-exporter.service")
_EXAMPLE = "example.toml"
_HELPERS = ("mount.ffrfs", "mount.fuse.ffrfs")
# The path that the units name as shipped, replaced by that of the ffrfs that installs it.
_SHIPPED_PROGRAM = "/usr/bin/ffrfs"


def install_on_node(root: Path, program_folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """Install under `root` ("/" for this node), and yield each path when it is written.

    Installs the unit template and the unit of the exporter, `/sbin/mount.ffrfs` with its `fuse.` twin, and the
    documented example in `/etc/ffrfs`; for each of `names` also a drop-in that ties `ffrfs@NAME` to the storage of the
    paths in `/etc/ffrfs/NAME.toml`.
    Existing units, helpers and drop-ins are replaced; the configuration of a mount is never touched.

    Args: program_folder, where the programs `ffrfs` and `mount.ffrfs` are that the node is to run.
    Raises: ConfigError if a name has no configuration file, or a wrong one; OSError if a file cannot be written.
    """
    configs = [(name, read_config(root / f"etc/ffrfs/{name}.toml")) for name in names]
    for program in ("ffrfs", "mount.ffrfs"):
        if not os.access(program_folder / program, os.X_OK):
            raise ConfigError(f"{program_folder / program} is not there: run install-systemd from an installed ffrfs")

    units = root / "etc/systemd/system"
    shipped = resources.files("ffrfs.mount") / "systemd"
    for unit in _UNITS:
        text = (shipped / unit).read_text(encoding="utf-8")
        yield _write(units / unit, text.replace(_SHIPPED_PROGRAM, os.fspath(program_folder / "ffrfs")))
    for helper in _HELPERS:
        yield _link(root / "sbin" / helper, program_folder / "mount.ffrfs")
    yield _write(root / "etc/ffrfs" / _EXAMPLE, (shipped / _EXAMPLE).read_text(encoding="utf-8"))
    for name, config in configs:
        # The mount point's own path would name the mount unit that systemd makes of this very mount.
        paths = (config.archive, os.path.dirname(config.mountpoint.rstrip("/")))
        drop_in = f"# Written by `ffrfs install-systemd {name}` from {config.source}.\n[Unit]\nRequiresMountsFor="
        yield _write(units / f"ffrfs@{name}.service.d/storage.conf", drop_in + " ".join(map(_quoted, paths)) + "\n")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _link(path: Path, program: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(program)
    return path


def _quoted(path: str) -> str:
    """Write a path as systemd reads it back: %, quotes and blanks escaped. Source: systemd.syntax(7), QUOTING."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
