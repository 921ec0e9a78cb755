"""A mount from end to end: it comes, shows what was packed, and goes."""

import hashlib
import json
from pathlib import Path

import pytest

VECTORS = Path(__file__).parent.parent / "data" / "vectors"
MANIFEST = json.loads((VECTORS / "manifest.json").read_text())["archives"]


@pytest.mark.parametrize("name", ["folder.ffr", "sharded"])
def test_a_mounted_reference_archive_shows_what_its_manifest_says(mount, name):
    mounted = mount(VECTORS / name)
    shown = {
        str(path.relative_to(mounted.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in mounted.path.rglob("*")
        if path.is_file()
    }
    assert shown == MANIFEST[name]["files"]


def test_records_without_a_tree_are_numbered_files(mount):
    mounted = mount(VECTORS / "records.ffr")
    names = sorted(path.name for path in mounted.path.iterdir())
    assert names == [str(number) for number in range(6)]
    assert [hashlib.sha256((mounted.path / name).read_bytes()).hexdigest() for name in names] == MANIFEST[
        "records.ffr"
    ]["sha256"]
