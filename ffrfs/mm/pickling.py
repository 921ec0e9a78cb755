"""Pickling of framework classes, mended. Standard library only.

A `FileClient`, of mmcv and of mmengine, hands itself out of a cache of instances in `__new__`. Unpickling or copying
one calls that without arguments, so it gets the cached client of the *disk* and overwrites its backend: from then on
the whole process reads the disk through the archive. And a data set of mmengine names its backend only in its config,
so a spawned worker, where no `custom_imports` runs, does not know it. Pickling both classes as here mends both: the
copy is a new object, and to make it the worker imports this package, which registers the backend there.
"""

from __future__ import annotations

import copyreg
from typing import Any

__all__ = ["pickle_as_new_object"]


def pickle_as_new_object(kind: type) -> None:
    """Have instances of `kind` pickled and deep-copied as a new object with the same attributes."""
    copyreg.pickle(kind, _reduce)


def _reduce(instance: Any) -> tuple[Any, ...]:
    return _new_object, (type(instance),), vars(instance)


def _new_object(kind: type) -> Any:
    return object.__new__(kind)
