"""Compile mmcv's C++ operators for the CPU in a few minutes, from the sources that its ops-less package ships.

Usage: scripts/build_mmcv_ops.py SITE    (SITE: the folder that holds the package `mmcv`; writes SITE/mmcv/_ext.so)

mmcv's own build compiles some 80 files one by one, each spending most of its time on torch's headers: 20 minutes on
two cores. Here the same files are compiled as a few that include the others, without optimisation. Two files that
define the same file-local name, as the interpolation of the RoI operators does, are kept apart.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from torch.utils.cpp_extension import load

UNITS = 4
DEFINITION = re.compile(r"^(?:(?:struct|class) (\w+)|[\w:<>]+[ \n*&]+(\w+)\([^;{]*\{)", re.MULTILINE)
MACRO = re.compile(r"^#define (\w+)", re.MULTILINE)


def definitions(source: Path) -> set[str]:
    """The names that a C++ file defines at the beginning of a line."""
    return {kind or function for kind, function in DEFINITION.findall(source.read_text())}


def units(sources: list[Path], count: int) -> list[list[Path]]:
    """Deal the sources into at most `count` groups (more where names clash), none defining a name twice."""
    groups: list[tuple[list[Path], set[str]]] = [([], set()) for _ in range(count)]
    for source in sources:
        names = definitions(source)
        free = [group for group in groups if not group[1] & names]
        if not free:
            free = [([], set())]
            groups += free
        members, taken = min(free, key=lambda group: sum(member.stat().st_size for member in group[0]))
        members.append(source)
        taken |= names
    return [members for members, _ in groups if members]


def unity(members: list[Path]) -> str:
    """One C++ file that includes the members, each with its macros forgotten after it (psamask.cpp defines `max`)."""
    text = "#include <torch/extension.h>\n"
    for member in members:
        text += f'#include "{member}"\n' + "".join(f"#undef {name}\n" for name in MACRO.findall(member.read_text()))
    return text


def build(site: Path) -> Path:
    """Compile and return the path of the extension."""
    csrc = site / "mmcv/ops/csrc"
    sources = sorted(csrc.glob("pytorch/*.cpp")) + sorted(csrc.glob("pytorch/cpu/*.cpp"))
    with tempfile.TemporaryDirectory() as scratch:
        files = []
        for number, members in enumerate(units(sources, UNITS)):
            files.append(Path(scratch, f"unit{number}.cpp"))
            files[-1].write_text(unity(members))
        load(
            "_ext",
            [str(file) for file in files],
            extra_cflags=["-O0", "-w"],
            extra_include_paths=[str(csrc / "common"), str(csrc / "pytorch")],
            build_directory=scratch,
            is_python_module=False,
        )
        return Path(shutil.copy2(Path(scratch, "_ext.so"), site / "mmcv/_ext.so"))


if __name__ == "__main__":
    os.environ.setdefault("MAX_JOBS", "2")
    print(build(Path(sys.argv[1]).resolve()))
