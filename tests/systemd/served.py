"""What a mount of the reference archive must show: the files that the archive's manifest lists, byte for byte."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.systemd.node import Node

ARCHIVE = Path(__file__).parents[1] / "data" / "vectors" / "folder.ffr"
PACKED_FILES: dict[str, str] = json.loads(ARCHIVE.with_name("manifest.json").read_text())["archives"][ARCHIVE.name][
    "files"
]
# A file of 131073 bytes: more than one READ, whatever the kernel's readahead is.
LARGE_FILE = "sizes/131073.bin"


def served_files(folder: Path) -> dict[str, str]:
    """Read every file under `folder`; returns SHA-256 by path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def is_mounted(node: Node, mountpoint: str) -> bool:
    """Whether the node's mount table has an ffrfs mount at this path; the mount itself is not asked."""
    return any(fields[1] == mountpoint and fields[2] == "fuse.ffrfs" for fields in node.mounts())


def assert_serves(node: Node, mountpoint: str) -> None:
    """Assert that the reference archive is mounted there and reads as its manifest says."""
    assert is_mounted(node, mountpoint), node.journal()
    assert served_files(node.path(mountpoint)) == PACKED_FILES
