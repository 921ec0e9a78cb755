"""The systems that are compared: each turns a folder into an image of its own kind and serves the image as a tree.

A system is a few lines: how its image is built, and the command of its daemon in the foreground. `mounted` runs it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from benchmarks.trees import Tree

BIN = Path(sys.executable).parent  # of the virtual environment: ffrfs and ratarmount lie there
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 30
POLL_S = 0.002
MS_RDONLY = 1


class NotAvailableError(Exception):
    """This machine cannot run the system; the text says what is missing."""


@dataclass(frozen=True)
class Mount:
    """A tree that is being served: its root, and the daemon's process id, 0 if there is no daemon."""

    root: Path
    daemon: int = 0


class System:
    """What all systems share. `suffix` names the image."""

    name = ""
    suffix = ""

    def image(self, tree: Tree) -> Path:
        """The image of the tree, built if it is not there."""
        image = tree.root.with_suffix(self.suffix)
        if not image.exists():
            with TemporaryDirectory(dir=image.parent, prefix="unfinished-") as folder:
                built = Path(folder, image.name)
                self.build(tree.root, built)
                for kept in self.kept_index(built):  # what the system builds beside the image
                    if kept.exists():
                        kept.rename(image.with_name(kept.name))
                built.rename(image)
        return image

    def build(self, folder: Path, image: Path) -> None:
        """Make the image from the folder."""
        raise NotImplementedError

    def kept_index(self, image: Path) -> list[Path]:
        """Files that the system keeps from one mount of the image to the next."""
        return []

    @contextmanager
    def mounted(self, image: Path, mountpoint: Path, cpus: str = "") -> Iterator[Mount]:
        """Serve the image at `mountpoint`; the daemon runs only on `cpus` (as for taskset) if they are given."""
        raise NotImplementedError


class Disk(System):
    """The tree as it lies on the disk."""

    name = "disk"

    def image(self, tree: Tree) -> Path:
        return tree.root

    @contextmanager
    def mounted(self, image: Path, mountpoint: Path, cpus: str = "") -> Iterator[Mount]:
        yield Mount(image)


class Erofs(System):
    """EROFS in the kernel, uncompressed, mounted from the file without a loop device."""

    name = "EROFS"
    suffix = ".erofs"

    def build(self, folder: Path, image: Path) -> None:
        _run("mkfs.erofs", "--quiet", image, folder)

    @contextmanager
    def mounted(self, image: Path, mountpoint: Path, cpus: str = "") -> Iterator[Mount]:
        libc = ctypes.CDLL(None, use_errno=True)
        arguments = os.fsencode(image), os.fsencode(mountpoint), b"erofs", ctypes.c_ulong(MS_RDONLY), None
        if libc.mount(*arguments) != 0:
            raise NotAvailableError(f"mount -t erofs {image}: {os.strerror(ctypes.get_errno())}")
        try:
            yield Mount(mountpoint)
        finally:
            unmount(mountpoint)


class Daemon(System):
    """A system that a process of its own serves by FUSE."""

    def command(self, image: Path, mountpoint: Path) -> list[str]:
        """The daemon's command line, staying in the foreground."""
        raise NotImplementedError

    @contextmanager
    def mounted(self, image: Path, mountpoint: Path, cpus: str = "") -> Iterator[Mount]:
        command = (["taskset", "-c", cpus] if cpus else []) + self.command(image, mountpoint)
        with running(command, mountpoint) as daemon:
            yield Mount(mountpoint, daemon)


class Ffrfs(Daemon):
    """ffrfs; `options` are those of `ffrfs mount -o`."""

    suffix = ".ffr"
    program = BIN / "ffrfs"

    def __init__(self, name: str = "ffrfs", options: str = "") -> None:
        self.name, self.options = name, options

    def build(self, folder: Path, image: Path) -> None:
        _run(self.program, "pack", folder, image)

    def command(self, image: Path, mountpoint: Path) -> list[str]:
        options = ["-o", self.options] if self.options else []
        return [str(self.program), "mount", "-f", *options, str(image), str(mountpoint)]

    def kept_index(self, image: Path) -> list[Path]:
        return [image.with_name(image.name + ".index")]


class Baseline(Ffrfs):
    """ffrfs 0.1.0 in an environment of its own, on a second name of the same archive: each version keeps an index."""

    program = Path(__file__).parent.parent / ".venv-baseline/bin/ffrfs"

    def __init__(self) -> None:
        super().__init__("ffrfs 0.1.0")
        if not self.program.exists():
            raise RuntimeError("the environment of ffrfs 0.1.0 is missing: run 'scripts/setup-baseline'")

    def image(self, tree: Tree) -> Path:
        return self.second_name(Ffrfs().image(tree))

    def second_name(self, archive: Path) -> Path:
        """Another name of an archive, made if it is not there."""
        second = archive.with_name(f"baseline-{archive.name}")
        if not second.exists():
            second.hardlink_to(archive)
        return second


class Squashfuse(Daemon):
    """squashfuse_ll, in C with threads; the image is uncompressed, so that it has nothing to unpack."""

    name = "squashfuse_ll"
    suffix = ".squashfs"

    def build(self, folder: Path, image: Path) -> None:
        _run("mksquashfs", folder, image, "-noI", "-noD", "-noF", "-no-progress", "-quiet")

    def command(self, image: Path, mountpoint: Path) -> list[str]:
        return ["squashfuse_ll", "-f", str(image), str(mountpoint)]


class Ratarmount(Daemon):
    """ratarmount on an uncompressed tar, its index made beforehand."""

    name = "ratarmount"
    suffix = ".tar"

    def build(self, folder: Path, image: Path) -> None:
        _run("tar", "--sort=name", "-C", folder, "-cf", image, ".")

    def command(self, image: Path, mountpoint: Path) -> list[str]:
        [index] = self.kept_index(image)
        return [str(BIN / "ratarmount"), "-f", "--index-file", str(index), str(image), str(mountpoint)]

    def kept_index(self, image: Path) -> list[Path]:
        return [image.with_name(image.name + ".index.sqlite")]


class SlowStorage(Daemon):
    """The folder that holds an image, its reads delayed: to put below another system, see `slowfs`."""

    name = "slowfs"

    def __init__(self, latency_ms: float) -> None:
        self.latency_ms = latency_ms

    def command(self, image: Path, mountpoint: Path) -> list[str]:
        slowfs = [sys.executable, "-m", "benchmarks.slowfs", "--ms", str(self.latency_ms)]
        return [*slowfs, str(image), str(mountpoint)]


@contextmanager
def running(command: list[str], mountpoint: Path) -> Iterator[int]:
    """Run a daemon that mounts at `mountpoint` and stays in the foreground; yields its process id once it answers.

    Raises: NotAvailableError if its program is missing; RuntimeError if it ends or answers nothing, with its output.
    """
    with TemporaryFile() as log:
        try:
            daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        except FileNotFoundError:
            raise NotAvailableError(f"{command[0]} is not installed") from None
        try:
            deadline_s = time.monotonic() + START_TIMEOUT_S
            while not os.path.ismount(mountpoint):
                if daemon.poll() is not None or time.monotonic() > deadline_s:
                    raise RuntimeError(f"{command} does not serve {mountpoint}:\n{_read(log)}")
                time.sleep(POLL_S)
            yield daemon.pid
        finally:
            unmount(mountpoint)
            try:
                daemon.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                raise RuntimeError(f"{command} did not end after its mount:\n{_read(log)}") from None


def _read(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


def unmount(mountpoint: Path) -> None:
    """Unmount what is at `mountpoint`, if anything is; lazily where it is busy or dead."""
    for command in (["umount"], ["umount", "--lazy"], ["fusermount3", "-uz"]):
        if not _is_mounted(mountpoint):
            return
        subprocess.run([*command, str(mountpoint)], check=False, capture_output=True)


def _is_mounted(mountpoint: Path) -> bool:
    try:
        return os.path.ismount(mountpoint)
    except OSError:  # a dead mount
        return True


def _run(*command: str | Path) -> None:
    program = shutil.which(str(command[0]))
    if program is None:
        raise NotAvailableError(f"{command[0]} is not installed")
    result = subprocess.run([program, *command[1:]], check=False, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{command} failed:\n{result.stdout}{result.stderr}")
