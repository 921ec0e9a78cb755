"""Images per second of the stock training pipelines of mmdet and mmseg, from disk, mount and archive, in one run.

    scripts/mm-env new python -m benchmarks.mm_images                   (old: the other generation)
    scripts/mm-env new python -m benchmarks.mm_images --latency-ms 5    on slow storage, with and without reading ahead

Data sets, pipelines and loaders are the frameworks' own, on photographs of 640 x 480. Measurements are interleaved: in
each round every way to read comes once; the table has medians. Without latency everything is in the page cache, so the
table shows what a way to read costs; with latency (benchmarks.slowfs) nothing is, and it shows what waiting costs.
Each measurement is an epoch, the start of its workers included, in a process of its own, forked after the imports.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from benchmarks.measuring import warm
from ffrfs import pack_folder
from ffrfs.mm import FFRecordClient, PrefetchDataset
from tests.mm.batches import config_of, loader_of
from tests.mm.conftest import ENVIRONMENT, Layouts
from tests.mm.frameworks import GENERATIONS
from tests.support.photos import build_ade20k, build_coco

WORKERS = (0, 2, 4)
READ_BATCH = 32  # files in a batch where files are read and nothing is decoded


@dataclass(frozen=True)
class Way:
    """What is measured: mmdet's or mmseg's pipeline, or `files`, which reads and decodes nothing."""

    package: str
    source: str
    ahead: bool
    workers: int


class Files(Dataset):
    """Whole files as a data set: from the archive with `client`, else from the disk or mount."""

    def __init__(self, paths: list[str], client: FFRecordClient | None) -> None:
        self.paths, self.client = paths, client

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> int:
        path = self.paths[index]
        return len(self.client.get(path) if self.client else Path(path).read_bytes())

    def path(self, index: int) -> list[str]:
        """The file of a sample, for `PrefetchDataset`."""
        return [self.paths[index]]


def files_loader(way: Way, names: list[str]) -> Any:
    """A plain PyTorch loader of files in shuffled order."""
    in_archive = way.source == "archive"
    arguments = {"backend": "ffrecord", "fname": "data/coco.ffr", "path_prefix": "data/coco"}
    client = FFRecordClient("data/coco.ffr", "data/coco") if in_archive else None
    dataset: Any = Files([f"data/coco/train2017/{name}" for name in names], client)
    if way.ahead:
        dataset = PrefetchDataset(dataset, Files.path, arguments if in_archive else None)
    return DataLoader(dataset, READ_BATCH, shuffle=True, num_workers=way.workers)


def images_per_s(way: Way, layouts: Layouts, folder: Path, names: list[str]) -> float:
    """Go through the training images once."""
    os.chdir(layouts.of(way.source))
    if way.package == "files":
        loader, batch_size = files_loader(way, names), READ_BATCH
    else:
        config = config_of(GENERATIONS[ENVIRONMENT][way.package].config(way.source, folder))
        if way.ahead:
            config.train_dataloader.dataset = {"type": "PrefetchDataset", "dataset": config.train_dataloader.dataset}
        loader = loader_of(way.package, config, way.workers)
        batch_size = config.data.samples_per_gpu if ENVIRONMENT == "old" else config.train_dataloader.batch_size
    begin_s = time.perf_counter()
    count = sum(1 for _ in islice(loader, len(names) // batch_size))
    return count * batch_size / (time.perf_counter() - begin_s)


def in_child(function: Callable[..., float], *arguments: Any) -> float:
    """Run a function in a forked process, which may start workers of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def report() -> None:
        with redirect_stdout(sys.stderr):  # where the frameworks may print what they like
            sender.send(function(*arguments))

    child = context.Process(target=report)
    child.start()
    sender.close()
    try:
        return float(receiver.recv())
    except EOFError:
        raise SystemExit(f"measuring {arguments[0]} failed") from None
    finally:
        child.join()


@contextmanager
def slow(folder: Path, latency_ms: float) -> Iterator[Path]:
    """The folder as storage with latency shows it; as it is without latency."""
    if not latency_ms:
        yield folder
        return
    target = folder.with_name("slow")
    target.mkdir()
    command = [sys.executable, "-m", "benchmarks.slowfs", folder, target, "--ms", str(latency_ms), "--mb-per-s", "1000"]
    with subprocess.Popen(command) as mirror:
        while not target.is_mount():
            time.sleep(0.05)
            if mirror.poll() is not None:
                raise SystemExit("benchmarks.slowfs did not start")
        try:
            yield target
        finally:
            mirror.terminate()


def measure(ways: list[Way], rounds: int, images: int, latency_ms: float) -> dict[Way, list[float]]:
    """Images per second of each way, in each round."""
    speeds: dict[Way, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(prefix="ffrfs-mm-") as made, ExitStack() as stack:
        folder = Path(made)
        build_coco(folder / "data/coco", images, 1)
        build_ade20k(folder / "data/ade", images, 1)
        for name in ("coco", "ade"):
            pack_folder(folder / f"data/{name}", folder / f"data/{name}.ffr")
        names = sorted(path.name for path in (folder / "data/coco/train2017").iterdir())
        data = stack.enter_context(slow(folder / "data", latency_ms))
        layouts = Layouts(Path(tempfile.mkdtemp(dir=folder)), data)
        stack.callback(lambda: layouts.unmount())
        if not latency_ms:
            warm(data)
            warm(layouts.of("mount"))
        for number in range(rounds):
            for way in ways:
                if latency_ms:  # mount anew, so that no measurement finds in the page cache what the last one read
                    layouts.unmount()
                    layouts = Layouts(Path(tempfile.mkdtemp(dir=folder)), data)
                layouts.of(way.source)
                speed = in_child(images_per_s, way, layouts, folder, names)
                speeds[way].append(speed)
                print(f"round {number + 1}: {way} {speed:.1f}", file=sys.stderr, flush=True)
    return speeds


def table(speeds: dict[Way, list[float]]) -> str:
    """Medians as a Markdown table, one line for each package and way, one column for each number of workers."""
    workers = sorted({way.workers for way in speeds})
    lines = [
        "| | images/s from | " + " | ".join(f"{count} workers" for count in workers) + " |",
        "|---|---|" + "---|" * len(workers),
    ]
    for package, source, ahead in dict.fromkeys((way.package, way.source, way.ahead) for way in speeds):
        cells = []
        for count in workers:
            found = speeds[Way(package, source, ahead, count)]
            cells.append(f"{statistics.median(found):.1f} ({min(found):.1f} to {max(found):.1f})")
        lines.append(f"| {package} | {source}{', read ahead' if ahead else ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """The command line shown at the top of this module."""
    parser = argparse.ArgumentParser(description="Measure the stock pipelines of mmdet and mmseg.")
    parser.add_argument("--images", type=int, default=320, metavar="N", help="training images in each data set")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--latency-ms", type=float, default=0, metavar="MS", help="latency of the storage")
    packages = ("mmdet", "mmseg", "files")
    parser.add_argument(
        "--only", nargs="+", choices=packages, default=packages[:2], help="pipelines; files: none at all"
    )
    wanted = parser.parse_args()
    ahead = (False, True) if wanted.latency_ms and ENVIRONMENT == "new" else (False,)
    ways = [
        Way(package, source, in_advance, workers)
        for package in wanted.only
        for workers in WORKERS
        for source in ("disk", "mount", "archive")
        for in_advance in ahead
    ]
    print(table(measure(ways, wanted.rounds, wanted.images, wanted.latency_ms)))


if __name__ == "__main__":
    main()
