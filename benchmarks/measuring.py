"""What is measured about processes, and the caches that are put into a known state before."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CHUNK_BYTES = 1 << 22


def process_tree(root: int) -> list[int]:
    """A process and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                parent = int(_stat_fields(int(entry.name))[1])
                children.setdefault(parent, []).append(int(entry.name))
    tree = [root]
    for process in tree:
        tree += children.get(process, [])
    return tree


def cpu_seconds(daemon: int) -> float:
    """CPU time, user and system, that a daemon, its threads and its descendants, ended ones too, have used so far.

    The kernel counts it exactly and shows it in ticks, of 10 ms as a rule.
    """
    ticks = 0
    for process in process_tree(daemon):
        with suppress(FileNotFoundError, ProcessLookupError):
            ticks += sum(map(int, _stat_fields(process)[11:15]))
    return ticks / TICKS_PER_S


def private_bytes(daemon: int) -> int:
    """Memory that belongs to the daemon and its descendants alone; what they share among them counts once.

    Pages of mapped files are not in it: they are the page cache's, which takes them back when it needs the room.
    """
    total_kib = 0
    for process in process_tree(daemon):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total_kib += int(line.split()[1])
    return total_kib * 1024


def warm(path: Path) -> None:
    """Bring a file, or all files below a folder, into the page cache."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb", buffering=0) as stream:
                while stream.read(CHUNK_BYTES):
                    pass


def drop_caches() -> None:
    """Empty the kernel's page cache, dentries and inodes, so that storage itself is read. Needs root."""
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("3")


def _stat_fields(process: int) -> list[str]:
    """/proc/PID/stat after the command's name: [0] is the state, [1] the parent, [11] to [14] the CPU ticks,
    its own and its ended children's, user and system."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
