"""Which files a sample of a data set needs, by its `get_data_info`: what the frameworks name, and what is learned.

A place is where a path stands in that dictionary: the keys that lead there, lists passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["MAX_FRAMES", "SWEEPS", "Place", "files_at", "places_of", "sample_files"]

Place = tuple[str, ...]
SWEEPS: Place = ("lidar_sweeps", "lidar_points", "lidar_path")  # mmdet3d's nuScenes
MAX_FRAMES = 32  # of a clip, read ahead whole: which of them a pipeline draws is not known


def sample_files(dataset: Any, index: int) -> list[str]:
    """The files of a sample of an mmengine data set, of what `get_data_info(index)` has.

    Paths under keys that end in `path`, under `filename` and in `lidar_sweeps`; the frames in `frame_dir`, if they are
    not more than MAX_FRAMES. Nested dictionaries, as multi-view data sets have them, are gone through; lists of
    annotations are not.
    """
    info = dataset.get_data_info(index)
    return [*_paths(info), *files_at(info, [SWEEPS]), *_frames(info)]


def files_at(info: Any, places: Iterable[Place]) -> Iterator[str]:
    """The paths that stand at these places of a sample."""
    for place in places:
        found = [info]
        for key in place:
            found = [value[key] for value in _flat(found) if isinstance(value, dict) and key in value]
        yield from (os.fspath(path) for path in _flat(found) if isinstance(path, (str, os.PathLike)))


def places_of(info: Any, paths: set[str]) -> set[Place]:
    """The places of a sample where one of these paths stands."""
    return {place for place, text in _texts(info) if text in paths}


def _paths(info: Any, is_path: bool = False) -> Iterator[str]:
    if isinstance(info, dict):
        for key, value in info.items():
            yield from _paths(value, str(key).endswith("path") or key == "filename")
    elif isinstance(info, (list, tuple)) and is_path:
        for value in info:
            yield from _paths(value, True)
    elif isinstance(info, (str, os.PathLike)) and is_path:
        yield os.fspath(info)


def _frames(info: Any) -> Iterator[str]:
    folder, count = info.get("frame_dir"), info.get("total_frames", 0)
    if folder is not None and count <= MAX_FRAMES and info.get("modality", "RGB") == "RGB":
        first = info.get("start_index", 1) + info.get("offset", 0)
        for number in range(first, first + count):
            yield os.path.join(folder, info.get("filename_tmpl", "img_{:05}.jpg").format(number))


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value


def _texts(info: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    if isinstance(info, dict):
        for key, value in info.items():
            yield from _texts(value, (*place, key))
    elif isinstance(info, (list, tuple)):
        for value in info:
            yield from _texts(value, place)
    elif isinstance(info, (str, os.PathLike)):
        yield place, os.fspath(info)
