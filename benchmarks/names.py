"""Archives with very many names and hardly any data, made without a file system ever holding the files."""

from __future__ import annotations

import pickle
import subprocess
import tarfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ffrfs.format.header import TREE_MAGIC, crc32, encode_header

FILES_PER_FOLDER = 1_280  # ImageNet has that many in a class
CONTENTS = b"a tiny file\n"
PICKLE_PROTOCOL = 4  # as the reference writer's


@dataclass(frozen=True)
class ManyNames:
    """`files` files with equal contents in folders of FILES_PER_FOLDER. `title` is for tables."""

    title: str
    files: int
    folder: Path

    def names(self) -> Iterator[tuple[str, list[str]]]:
        """Folders and the names in them, both in order."""
        for first in range(0, self.files, FILES_PER_FOLDER):
            last = min(first + FILES_PER_FOLDER, self.files)
            yield f"n{first // FILES_PER_FOLDER:08d}", [f"img_{number:09d}.JPEG" for number in range(first, last)]

    def archive(self) -> Path:
        """The .ffr archive, built if it is not there."""
        return self._built(".ffr", self._write_archive)

    def squashfs(self) -> Path:
        """The same as a squashfs image, built if it is not there."""
        return self._built(".squashfs", self._write_squashfs)

    def tree_pickle(self) -> Path:
        """The archive's metadata record alone: what a reader that unpickles has to unpickle."""
        return self._built(".pickle", lambda path: path.write_bytes(self._tree()))

    def _built(self, suffix: str, write: Callable[[Path], object]) -> Path:
        image = self.folder / f"names-{self.files}{suffix}"
        if not image.exists():
            unfinished = image.with_name(f"unfinished-{image.name}")
            write(unfinished)
            unfinished.rename(image)
        return image

    def _tree(self) -> bytes:
        record, root = 0, OrderedDict()
        for folder, names in self.names():
            root[folder] = OrderedDict(zip(names, range(record, record + len(names)), strict=True))
            record += len(names)
        return pickle.dumps(root, PICKLE_PROTOCOL)

    def _write_archive(self, path: Path) -> None:
        tree = TREE_MAGIC + self._tree()
        checksums = np.full(self.files + 1, crc32(CONTENTS), np.uint32)
        checksums[-1] = crc32(tree)
        lengths = np.full(self.files + 1, len(CONTENTS), np.int64)
        lengths[-1] = len(tree)
        with path.open("wb") as stream:
            stream.write(encode_header(checksums, lengths))
            for _, names in self.names():
                stream.write(CONTENTS * len(names))
            stream.write(tree)

    def _write_squashfs(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        command = ["sqfstar", "-noI", "-noD", "-noF", "-no-progress", "-quiet", str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as sqfstar:
            assert sqfstar.stdin is not None
            for folder, names in self.names():
                sqfstar.stdin.write(_tar_of(folder, names))
            sqfstar.stdin.write(bytes(2 * tarfile.BLOCKSIZE))
        if sqfstar.returncode:
            raise RuntimeError(f"sqfstar ended with status {sqfstar.returncode}")


def _tar_of(folder: str, names: list[str]) -> bytes:
    member = tarfile.TarInfo(folder)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    parts = [member.tobuf()]
    data = CONTENTS.ljust(tarfile.BLOCKSIZE, b"\0")
    for name in names:
        member = tarfile.TarInfo(f"{folder}/{name}")
        member.size = len(CONTENTS)
        parts += [member.tobuf(), data]
    return b"".join(parts)
