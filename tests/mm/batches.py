"""What the frameworks' own data loaders give, and what is in it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.mm.conftest import FRAMEWORK

__all__ = ["config_of", "leaves", "loader_of"]


def config_of(path: Path) -> Any:
    """A config file, loaded by the framework, which imports what it names in custom_imports."""
    if FRAMEWORK == "mmengine":
        from mmengine import Config
    else:
        from mmcv import Config
    return Config.fromfile(path)


def loader_of(package: str, config: Any, workers: int, method: str | None = "fork") -> Any:
    """The framework's own loader of its training data, seeded.

    Args: package, mmdet or mmseg; method, how workers start.
    """
    random.seed(0)
    np.random.seed(0)  # mmdet 2 shuffles by it
    torch.manual_seed(0)
    build = _new_loader if FRAMEWORK == "mmengine" else _old_loader
    return build(package, config, method if workers else None, workers)


def _new_loader(package: str, config: Any, method: str | None, workers: int) -> Any:
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    init_default_scope(package)
    loader = config.train_dataloader
    loader.update(num_workers=workers, persistent_workers=False, multiprocessing_context=method)
    return Runner.build_dataloader(loader, seed=0)


def _old_loader(package: str, config: Any, method: str | None, workers: int) -> Any:
    if package == "mmdet":
        from mmdet.datasets import build_dataloader, build_dataset
    else:
        from mmseg.datasets import build_dataloader, build_dataset
    return build_dataloader(
        build_dataset(config.data.train),
        config.data.samples_per_gpu,
        workers,
        dist=False,
        seed=0,
        persistent_workers=False,
        multiprocessing_context=method,
    )


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor, array and number in a batch, as numpy, with where it is; names of files are left out."""
    if isinstance(value, torch.Tensor):
        yield place, value.numpy()
    elif isinstance(value, (np.ndarray, int, float, bool)):
        yield place, np.asarray(value)
    elif isinstance(value, dict):
        for key, member in sorted(value.items()):  # mmseg's order is that of a set, and changes
            yield from leaves(member, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, member in enumerate(value):
            yield from leaves(member, f"{place}[{number}]")
    elif hasattr(value, "all_items"):  # mmengine's BaseDataElement
        yield from leaves(dict(value.all_items()), place)
    elif hasattr(value, "data"):  # mmcv's DataContainer
        yield from leaves(value.data, place)
    elif hasattr(value, "tensor"):  # mmdet's boxes
        yield from leaves(value.tensor, place)
    else:
        assert value is None or isinstance(value, (str, type)), f"{place}: {type(value)}"
