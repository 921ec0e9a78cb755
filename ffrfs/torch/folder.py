"""Map-style data sets over the files of a folder, packed or not, with torchvision's signatures but without it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, BinaryIO

from torch.utils.data import Dataset as TorchDataset

from ffrfs.archive.shards import ArchivePath
from ffrfs.torch.files import files_below

__all__ = ["IMAGE_EXTENSIONS", "ImageFolder", "PackedDataset", "read_bytes", "read_image"]

# What torchvision takes for images.
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

Transform = Callable[[Any], Any]


def read_bytes(file: BinaryIO) -> bytes:
    """A loader that decodes nothing."""
    return file.read()


def read_image(file: BinaryIO) -> Any:
    """A loader of images: a PIL image in RGB."""
    from PIL import Image

    with Image.open(file) as image:
        return image.convert("RGB")


class PackedDataset(TorchDataset):
    """The files below a folder, one sample each, in the order of their paths.

    Args: root, an archive, a folder in one (`data/coco.ffr/train2017`), or a folder of the disk or of a mount;
    loader, which makes a sample of a file, open for reading; extensions, how names of files may end, in lower case;
    transform, applied to the sample; is_valid_file, called with a path, chooses files instead of `extensions`.
    A DataLoader gets whole batches, read from the archive in one go. Attributes: paths, of the files, below root.
    Raises: FileNotFoundError if there is no such folder; OSError, ArchiveError.
    """

    def __init__(
        self,
        root: ArchivePath | Sequence[ArchivePath],
        loader: Callable[[BinaryIO], Any] = read_bytes,
        extensions: tuple[str, ...] | None = None,
        transform: Transform | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
    ) -> None:
        self.root = os.fspath(root) if isinstance(root, (str, os.PathLike)) else ""
        self.loader, self.extensions, self.transform = loader, extensions, transform
        self.is_valid_file = is_valid_file
        self._files = files_below(root)
        self.paths = self._below("")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The samples of a batch."""
        contents: list[Any] = self._files.read([self.paths[index] for index in indices])
        return [self._sample(index, bytes(content)) for index, content in zip(indices, contents, strict=True)]

    def prefetch(self, indices: Sequence[int]) -> None:
        """Announce samples that will be read soon: to the mount, or to the kernel. `PrefetchSampler` calls it."""
        self._files.prefetch([self.paths[index] for index in indices])

    def _sample(self, index: int, content: bytes) -> Any:
        sample = self.loader(io.BytesIO(content))
        return sample if self.transform is None else self.transform(sample)

    def _below(self, folder: str) -> list[str]:
        """The files below a folder that are wanted, in torchvision's order: by folder, then by name."""
        return sorted(filter(self._wanted, self._files.walk(folder)), key=os.path.split)

    def _wanted(self, path: str) -> bool:
        if self.is_valid_file is not None:
            return self.is_valid_file(os.path.join(self.root, path))
        return self.extensions is None or path.lower().endswith(self.extensions)


class ImageFolder(PackedDataset):
    """Images in folders, whose names are the classes: `root/cat/1.jpg`. Samples are (image, number of the class).

    Args: as torchvision's class of this name, with root as for `PackedDataset`, and loader called with an open file;
    allow_empty, whether a class may have no image. Attributes: classes, in the order of names; class_to_idx; samples,
    (path, class) each; imgs, the same; targets, the classes.
    Raises: FileNotFoundError if there are no classes, or one without images; as `PackedDataset`.
    Source: torchvision/datasets/folder.py, for arguments, attributes and order.
    """

    def __init__(
        self,
        root: ArchivePath | Sequence[ArchivePath],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Callable[[BinaryIO], Any] = read_image,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        self.target_transform, self.allow_empty = target_transform, allow_empty
        super().__init__(root, loader, IMAGE_EXTENSIONS, transform, is_valid_file)

    def _below(self, folder: str) -> list[str]:
        self.classes = sorted(self._files.folders())
        if not self.classes:
            raise FileNotFoundError(f"{self.root} has no folders, whose names would be the classes")
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.targets: list[int] = []
        paths: list[str] = []
        for number, name in enumerate(self.classes):
            images = super()._below(name)
            if not images and not self.allow_empty:
                raise FileNotFoundError(f"{self.root} has no image of class {name}; allow_empty=True lets it pass")
            self.targets += [number] * len(images)
            paths += images
        return paths

    @cached_property
    def samples(self) -> list[tuple[str, int]]:
        """Path and class of each image, made when first asked for."""
        return [(os.path.join(self.root, path), target) for path, target in zip(self.paths, self.targets, strict=True)]

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """The same, by torchvision's other name."""
        return self.samples

    def _sample(self, index: int, content: bytes) -> tuple[Any, Any]:
        target = self.targets[index]
        return super()._sample(index, content), (
            target if self.target_transform is None else self.target_transform(target)
        )
