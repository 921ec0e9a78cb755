"""The Debian tree that the node tests boot: built once by `build-tree`, kept in the user's cache folder.

The cached tree is only ever the lower layer of an overlay, so no test can change it for the next one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).parents[2]
BUILD_SCRIPT = Path(__file__).with_name("build-tree")


def cached_tree() -> Path:
    """Return a Debian tree with every requirement of ffrfs installed, but not ffrfs; build it if there is none.

    The tree's name is a hash of what goes into it, so a changed requirement makes another tree.
    """
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    requirements = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["fuse"],
        *project["project"]["optional-dependencies"]["exporter"],
    ]
    recipe = BUILD_SCRIPT.read_text() + "\n".join(requirements)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ffrfs"
    tree = cache / f"node-tree-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    if not tree.exists():
        unfinished = tree.with_name(f"{tree.name}.{os.getpid()}")
        cache.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run([BUILD_SCRIPT, unfinished, *requirements], check=True)
            unfinished.rename(tree)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return tree


def copy_checkout(destination: Path) -> None:
    """Copy the checkout's files, those that git tracks or would track, to `destination`."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, check=True, capture_output=True,
    )  # fmt: skip
    for name in filter(None, listing.stdout.split(b"\0")):
        source, target = CHECKOUT / os.fsdecode(name), destination / os.fsdecode(name)
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
