"""Other classes that are registered under this backend's name, as HFAiLab/BEVFormer and its relatives do.

Whoever comes first keeps nothing from the other in silence: a class that is there already stays, and one that comes
later takes the name, though its author did not say force=True; both are warned of.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

__all__ = ["give_way", "is_taken"]


def is_taken(backends: Mapping[str, Any], name: str, ours: type) -> bool:
    """Whether the name is another's; warns if so."""
    theirs = backends.get(name)
    if theirs is None or theirs is ours:
        return False
    warnings.warn(
        f"the backend {name!r} is {theirs.__module__}.{theirs.__qualname__}, registered before ffrfs.mm was imported,"
        " and stays that: to read with ffrfs, do not register it",
        stacklevel=4,
    )
    return True


def give_way(holder: Any, backends: Mapping[str, Any], name: str, ours: type) -> None:
    """Let another class take the name from ours later.

    Args: holder, a class or module with `register_backend(name, backend, force, prefixes)`; backends, the classes
    registered there by name.
    """
    register = holder.register_backend

    def register_backend(new: str, backend: Any = None, force: bool = False, prefixes: Any = None) -> Any:
        """Register a backend; from `ffrfs.mm`, which lets one of the name of its own be replaced."""
        if new == name and backend is not ours and backends.get(name) is ours:
            warnings.warn(
                f"the backend {name!r} of ffrfs.mm is replaced by another class: to read with ffrfs, do not register"
                " that one",
                stacklevel=2,
            )
            force = True
        return register(new, backend, force=force, prefixes=prefixes)

    holder.register_backend = staticmethod(register_backend) if isinstance(holder, type) else register_backend
