"""Many gigabytes of files for tests, cut from a pool of random bytes so that all contents stay in memory, once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path


class PooledFiles(Mapping[str, bytes]):
    """Contents by path. Args: sizes, by path; seed; pool_bytes, at least the largest size."""

    def __init__(self, sizes: Mapping[str, int], seed: int = 0, pool_bytes: int = 1 << 26) -> None:
        numbers = random.Random(seed)
        self._pool = b"".join(numbers.randbytes(1 << 20) for _ in range(pool_bytes >> 20))
        self._places = {path: (numbers.randrange(pool_bytes - size + 1), size) for path, size in sizes.items()}

    def __getitem__(self, path: str) -> bytes:
        at, size = self._places[path]
        return self._pool[at : at + size]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def write(self, folder: Path) -> Path:
        """Write the files to disk; returns the folder."""
        for path, contents in self.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(contents)
        return folder
