"""`PrefetchHook`: announces what mmengine's data loaders will read, so that no loop and no sampler need be changed.

    custom_hooks = [dict(type='PrefetchHook')]

It puts a `PrefetchSampler` around the sampler of each data loader. Files on a mount are announced to the mount, those
of an archive and of a disk are read ahead into the page cache by the kernel, where all workers find them. Imports
torch, and is imported only where mmengine is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mmengine.hooks import Hook

from ffrfs.hints import prefetch
from ffrfs.mm.prefetch import PrefetchDataset
from ffrfs.mm.sample import sample_files
from ffrfs.torch.sampler import PrefetchSampler

__all__ = ["Announcer", "PrefetchHook"]


class Announcer:
    """Announces samples of an mmengine data set by their numbers.

    Args: as for `PrefetchDataset`, which the data set may be already.
    """

    def __init__(
        self,
        dataset: Any,
        files: Callable[[Any, int], Iterable[str]] = sample_files,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        wrapped = dataset if isinstance(dataset, PrefetchDataset) else PrefetchDataset(dataset, files, backend_args)
        self._wrapped = wrapped

    def prefetch(self, indices: Sequence[int]) -> None:
        """Announce these samples' files."""
        wrapped = self._wrapped
        paths = [path for index in indices for path in wrapped.files(wrapped.dataset, int(index))]
        for client in wrapped.clients:
            paths = client.announce(paths)
        if paths:
            prefetch(paths)


class PrefetchHook(Hook):
    """Announces the samples that the data loaders of training, validation and test will draw, per rank.

    Args: ahead, how many samples are announced before they are drawn; files, backend_args, as for `PrefetchDataset`.
    """

    priority = "LOW"

    def __init__(
        self,
        ahead: int = 512,
        files: Callable[[Any, int], Iterable[str]] = sample_files,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        self.ahead, self.files, self.backend_args = ahead, files, backend_args

    def before_train(self, runner: Any) -> None:
        """Take over training's loader. A loop by iterations has begun to iterate by now, and begins anew."""
        loop = runner.train_loop
        if self._take_over(loop.dataloader) and hasattr(loop, "dataloader_iterator"):
            _begin_anew(loop.dataloader.batch_sampler.sampler.sampler)
            loop.dataloader_iterator = type(loop.dataloader_iterator)(loop.dataloader)

    def before_val(self, runner: Any) -> None:
        """Take over validation's loader."""
        self._take_over(runner.val_loop.dataloader)

    def before_test(self, runner: Any) -> None:
        """Take over the test's loader."""
        self._take_over(runner.test_loop.dataloader)

    def _take_over(self, loader: Any) -> bool:
        """Put a PrefetchSampler around a loader's sampler; False if there is one."""
        batches = loader.batch_sampler
        if batches is None or isinstance(batches.sampler, PrefetchSampler):
            return False
        announcer = Announcer(loader.dataset, self.files, self.backend_args)
        batches.sampler = PrefetchSampler(batches.sampler, announcer, self.ahead)
        return True


def _begin_anew(sampler: Any) -> None:
    """Have mmengine's InfiniteSampler give its first samples again, which the loop's first iterator has drawn."""
    if hasattr(sampler, "_indices_of_rank"):
        sampler.indices = sampler._indices_of_rank()
