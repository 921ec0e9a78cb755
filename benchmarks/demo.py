"""`make demo`: the whole way of a dataset, from a folder of photographs to images decoded from a mounted archive.

Builds a small COCO, packs it, mounts the archive, lists it, compares it with the folder, reads and decodes every image
from disk, mount and in process, prints one table, and unmounts, also when interrupted.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ffrfs
from tests.support import photos

TRAIN, VAL = 320, 80  # images
ROUNDS = 5
STOPPING = (signal.SIGINT, signal.SIGTERM)

console = Console(highlight=False)


@dataclass(frozen=True)
class Way:
    """One way to the same files: what to call it, and a function that gives the bytes of a path below the dataset."""

    name: str
    read: Callable[[str], bytes | memoryview]


@dataclass(frozen=True)
class Speed:
    """Medians over the rounds: whole files read per second, their MB/s (10^6 bytes), images decoded per second."""

    files_per_s: float
    mb_per_s: float
    images_per_s: float


def run(command: str) -> None:
    """Show a command, run it, and end the demo with its exit status if it fails."""
    console.print(f"[bold]$ {command}[/]")
    status = subprocess.run(command.split(), check=False).returncode
    if status:
        raise SystemExit(status)


@contextlib.contextmanager
def mounted(archive: str, mountpoint: str) -> Iterator[None]:
    """Mount the archive by the command line for the time of the block; unmounts whatever happens in it."""
    Path(mountpoint).mkdir()
    try:
        run(f"ffrfs mount {archive} {mountpoint}")
        yield
    finally:
        if f" {Path(mountpoint).absolute()} " in Path("/proc/self/mounts").read_text():
            run(f"ffrfs umount {mountpoint}")


def build(folder: Path) -> list[str]:
    """Build the COCO below `folder` and return its images' paths in shuffled order, as a training run reads them."""
    with console.status(f"cutting photographs into {TRAIN + VAL} JPEG files"):
        photos.build_coco(folder, TRAIN, VAL)
    images = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))
    size_bytes = sum((folder / image).stat().st_size for image in images)
    console.print(f"a COCO of {len(images)} photographs, {size_bytes / 1e6:.1f} MB, in {folder.absolute()}")
    return random.Random(2017).sample(images, len(images))


def measure(way: Way, images: list[str]) -> Speed:
    """Read all images ROUNDS times, then decode them once."""
    seconds: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        size_bytes = sum(len(way.read(image)) for image in images)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    steps = track(images, f"decoding from {way.name}", console=console, disable=not console.is_terminal)
    for image in steps:
        Image.open(io.BytesIO(way.read(image))).load()
    decode_s = time.perf_counter() - start
    read_s = statistics.median(seconds)
    return Speed(len(images) / read_s, size_bytes / read_s / 1e6, len(images) / decode_s)


def show(speeds: dict[str, Speed]) -> None:
    """Print the table."""
    console.print(f"Whole files in shuffled order, page cache warm, one process, median of {ROUNDS} rounds:")
    table = Table()
    for heading in ("", "files/s", "MB/s", "decoded images/s"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, speed in speeds.items():
        table.add_row(name, f"{speed.files_per_s:,.0f}", f"{speed.mb_per_s:,.0f}", f"{speed.images_per_s:,.0f}")
    console.print(table)


def interrupt(*_: object) -> NoReturn:
    """End the demo at the first signal; make sends a second one, which must not break the clearing up."""
    for stopping in STOPPING:
        signal.signal(stopping, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    """Run the demonstration."""
    for stopping in STOPPING:
        signal.signal(stopping, interrupt)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # this ffrfs, not another
    with tempfile.TemporaryDirectory(prefix="ffrfs-demo-") as folder:
        os.chdir(folder)
        images = build(Path("coco"))
        run("ffrfs pack coco coco.ffr")
        with mounted("coco.ffr", "mnt"), ffrfs.PackedFolder("coco.ffr") as packed:
            run("ls -l mnt mnt/annotations")
            run("diff -r coco mnt")
            console.print("diff is silent: the mounted tree is the folder that was packed")
            ways = (
                Way("disk", lambda image: Path("coco", image).read_bytes()),
                Way("mount", lambda image: Path("mnt", image).read_bytes()),
                Way("in process", lambda image: packed.read_one(image).data),
            )
            speeds = {way.name: measure(way, images) for way in ways}
        show(speeds)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; everything is unmounted and removed")
