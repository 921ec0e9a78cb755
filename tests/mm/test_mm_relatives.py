"""Every config for the relatives gives its stock data set and transforms what the disk gives, under fork and spawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffrfs import pack_folder
from tests.mm.batches import config_of, leaves, loader_of
from tests.mm.conftest import mounted
from tests.mm.relatives import RELATIVES, SOURCES, Relative, build

BATCHES = 2
WORKERS = 1  # a spawned one takes seconds to import a framework


class Places:
    """Folders to load in: `disk` has data/NAME, `packed` only data/NAME.ffr; `mount` has each archive, mounted."""

    def __init__(self, folder: Path) -> None:
        self.disk, self.packed, self._mounts = folder / "disk", folder / "packed", folder / "mounts"
        build(self.disk / "data")
        for tree in sorted((self.disk / "data").iterdir()):
            (self.packed / "data").mkdir(parents=True, exist_ok=True)
            pack_folder(tree, self.packed / f"data/{tree.name}.ffr")
        self._open = ExitStack()
        self._mounted: set[str] = set()

    def mount(self, name: str) -> Path:
        target = self._mounts / name
        if name not in self._mounted:
            self._open.enter_context(mounted(self.packed / f"data/{name}.ffr", target))
            self._mounted.add(name)
        return target

    def close(self) -> None:
        self._open.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    made = Places(tmp_path_factory.mktemp("relatives"))
    yield made
    made.close()


def stock(relative: Relative) -> Path:
    """The framework's own config, which this project's config for a mount names as its base."""
    from mmengine import Config

    text = relative.config("mount").read_text()
    package, _, name = text.split('_base_ = "')[1].split('"')[0].partition("::")
    path, _ = Config._get_cfg_path(f"{package}::{name}", "")
    return Path(path)


def config_for(relative: Relative, source: str, places: Places) -> Any:
    if source == "disk":
        return config_of(stock(relative))
    config = config_of(relative.config(source))
    if source == "mount":
        config = type(config)(moved(config.to_dict(), f"/mnt/{relative.data.lower()}/", places.mount(relative.data)))
    return config


def moved(value: Any, folder: str, target: Path) -> Any:
    """A config with the paths below a folder changed. Its text would not do: that has the keys in another order."""
    if isinstance(value, dict):
        return {key: moved(member, folder, target) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(moved(member, folder, target) for member in value)
    return value.replace(folder, f"{target}/") if isinstance(value, str) else value


def batches(relative: Relative, config: Any, method: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Any]:
    monkeypatch.chdir(folder)
    config.train_dataloader.batch_size = relative.batch_size
    loaded = islice(loader_of(relative.package, config, WORKERS, method), BATCHES)
    return [leaf for batch in loaded for leaf in leaves(batch)]


@pytest.fixture(scope="module")
def from_disk(places: Places) -> Callable[[Relative], list[Any]]:
    """What the stock config gives from the disk, loaded once for each relative."""

    @cache
    def load(relative: Relative) -> list[Any]:
        with pytest.MonkeyPatch.context() as patch:
            return batches(relative, config_for(relative, "disk", places), "fork", patch, places.disk)

    return load


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("relative", RELATIVES, ids=lambda relative: relative.overlays)
def test_every_tensor_is_equal(
    places: Places,
    from_disk: Callable[[Relative], list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    relative: Relative,
    method: str,
    source: str,
) -> None:
    wanted = from_disk(relative)
    config = config_for(relative, source, places)
    found = batches(relative, config, method, monkeypatch, places.packed)
    assert [place for place, _ in found] == [place for place, _ in wanted]
    for (place, value), (_, same) in zip(found, wanted, strict=True):
        assert value.dtype == same.dtype, place
        np.testing.assert_array_equal(value, same, err_msg=place)
    assert sum(value.size for _, value in found) > BATCHES * relative.batch_size * 1000
