"""The function that DataLoader workers run first, for configs that start workers by spawn.

A spawned worker imports only what unpickling its data set needs. mmengine's own data sets carry the import of this
package with them (see `mending`); for any other, name this function:

    train_dataloader = dict(worker_init_fn=dict(type='ffrfs_worker_init', seed=0), …)      # mmengine
    DataLoader(…, worker_init_fn=ffrfs.mm.worker_init)                                     # PyTorch
"""

from __future__ import annotations

import os
import random

import numpy as np

__all__ = ["worker_init"]


def worker_init(worker_id: int, seed: int | None = None, rank: int | None = None) -> None:
    """Seed a worker's numpy, random and torch; that it can be called at all has registered the backend.

    Args: worker_id, the worker's number; seed, the run's seed: workers are then seeded as mmengine's `worker_init_fn`
    seeds them, with num_workers * rank + worker_id + seed; None: from the seed that PyTorch gave the worker. rank, of
    this process among those that train together, by default what the launcher says in RANK.
    """
    import torch
    from torch.utils.data import get_worker_info

    if seed is None:
        worker_seed = torch.initial_seed() % 2**32
    else:
        info = get_worker_info()
        workers = 1 if info is None else info.num_workers
        worker_seed = workers * (int(os.environ.get("RANK", 0)) if rank is None else rank) + worker_id + seed
        torch.manual_seed(worker_seed)
    np.random.seed(worker_seed)
    random.seed(worker_seed)
