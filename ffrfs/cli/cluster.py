"""A dask cluster as the executor of `ffrfs pack`.

The cluster is trusted, as docs/threat-model.md says: a dask client unpickles what workers and scheduler answer. Its
`deserializers` can forbid that for results, but not for the errors and warnings that it is sent.
"""

from __future__ import annotations

import contextlib
import pkgutil
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor

from ffrfs.errors import ConfigError, FfrfsError
from ffrfs.version import __version__

__all__ = ["dask_executor"]

_TIMEOUT_SECONDS = 10


@contextlib.contextmanager
def dask_executor(address: str) -> Iterator[Executor]:
    """The workers of the dask cluster whose scheduler is at this address, such as tcp://scheduler:8786.

    Raises: ConfigError if distributed is not installed, or the address or a worker is of no use; OSError if no
    scheduler answers; FfrfsError if the cluster fails during the block.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise ConfigError("--dask needs the package distributed: pip install 'ffrfs[dask]'") from None
    try:
        client = Client(address, timeout=_TIMEOUT_SECONDS)
    except ValueError as error:
        raise ConfigError(f"{address} is no address of a dask scheduler: {error}") from None
    with client:
        # A worker that cannot import a task dies of it and is replaced for ever, so that has to be known before.
        workers = client.run(pkgutil.resolve_name, "ffrfs.version:__version__", on_error="return")
        for worker, version in workers.items():
            if version != __version__:
                raise ConfigError(f"the dask worker {worker} does not have ffrfs {__version__}: install it there")
        if not workers:
            raise ConfigError(f"the dask cluster at {address} has no workers; start some first")
        try:
            with client.get_executor() as executor:
                yield executor
        except (KilledWorker, CancelledError) as error:
            raise FfrfsError(f"the dask cluster at {address} failed, so nothing was written: {error}") from None
