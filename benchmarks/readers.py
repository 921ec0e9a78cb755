"""Several reader processes that start a pass together: the same for every system."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

READER = Path(__file__).with_name("reader.py")


@dataclass(frozen=True)
class Pass:
    """One pass of all readers: from the first start to the last end, over this many files."""

    seconds: float
    files: int

    @property
    def files_per_s(self) -> float:
        """Whole files read per second."""
        return self.files / self.seconds


class Readers:
    """`count` reader processes below `root`, the files dealt out among them.

    Args: sizes, the files to read, in this order, and the bytes that each must have; cpus, as for taskset, or all.
    A context manager; `run_pass` may be called any number of times. The readers have opened nothing before the first.
    """

    def __init__(self, root: Path, sizes: dict[str, int], count: int = 1, cpus: str = "") -> None:
        self._root, self._paths, self._count = root, list(sizes), count
        self._expected_bytes = sum(sizes.values())
        self._pin = ["taskset", "-c", cpus] if cpus else []
        self._processes: list[subprocess.Popen[str]] = []
        self._lists = TemporaryDirectory(prefix="ffrfs-bench-")

    def __enter__(self) -> Readers:
        for number in range(self._count):
            names = Path(self._lists.name, str(number))
            names.write_text("".join(f"{path}\n" for path in self._paths[number :: self._count]))
            command = [*self._pin, sys.executable, "-I", "-S", str(READER), str(self._root)]
            pipe = subprocess.PIPE
            self._processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1))
            self._say(self._processes[-1], str(names))
        for process in self._processes:
            self._hear(process)
        return self

    @property
    def pids(self) -> list[int]:
        """The process ids of the readers."""
        return [process.pid for process in self._processes]

    def run_pass(self) -> Pass:
        """Let all readers read their files once. Raises: RuntimeError if not all bytes were there."""
        for process in self._processes:
            self._say(process, "go")
        ends = [tuple(map(int, self._hear(process).split())) for process in self._processes]
        start_ns, end_ns = min(end[0] for end in ends), max(end[1] for end in ends)
        size_bytes = sum(end[2] for end in ends)
        if size_bytes != self._expected_bytes:
            raise RuntimeError(f"{self._root} gave {size_bytes} bytes instead of {self._expected_bytes}")
        return Pass((end_ns - start_ns) / 1e9, len(self._paths))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            with process:  # closes its pipes, which ends it, and waits
                pass
        self._lists.cleanup()

    @staticmethod
    def _say(process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None
        process.stdin.write(line + "\n")

    @staticmethod
    def _hear(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a reader ended early, with status {process.wait()}; its message is above")
        return line
