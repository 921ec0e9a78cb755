"""A training process that only loads, for ever: `python -m tests.mm.endless FOLDER MOUNT ARCHIVE`.

Its 16 workers read each photograph of FOLDER through the mount and through a client that was open before they were
forked. It prints a line for each batch. A wrong byte ends a worker with status 99, and so this process with an error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from torch.utils.data import DataLoader, Dataset

from ffrfs.mm import FFRecordClient

WORKERS = 16
WRONG = 99


class Photos(Dataset):
    """The sizes of the photographs, each read in three ways."""

    def __init__(self, folder: Path, mount: Path, archive: Path) -> None:
        self._folder, self._mount = folder, mount
        self._names = [path.relative_to(folder) for path in sorted(folder.rglob("*.jpg"))]
        self._client = FFRecordClient(archive)
        self._client.get(str(self._names[0]))

    def __len__(self) -> int:
        return 1_000_000  # an epoch that does not end

    def __getitem__(self, index: int) -> int:
        name = self._names[index % len(self._names)]
        contents = (self._folder / name).read_bytes()
        if not contents == (self._mount / name).read_bytes() == bytes(self._client.get(str(name))):
            os._exit(WRONG)
        return len(contents)


def main(folder: Path, mount: Path, archive: Path) -> None:
    """Load until killed."""
    dataset = Photos(folder, mount, archive)
    for _ in DataLoader(dataset, batch_size=4, shuffle=True, num_workers=WORKERS):
        print("batch", flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
