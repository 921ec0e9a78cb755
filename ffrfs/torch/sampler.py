"""`PrefetchSampler`: says what will be read next, as the sampler that it wraps decides it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, cast

from torch.utils.data import Sampler

__all__ = ["PrefetchSampler"]


class PrefetchSampler(Sampler):
    """The samples or batches of another sampler, announced before they are drawn.

    It runs in the training process, so each rank announces what its own workers will read; and what is announced comes
    into the mount's memory or the page cache, where all workers find it. Nothing is read twice, and nothing waits.

    Args: sampler, any, also a DistributedSampler or one of batches; dataset, one with a method `prefetch(indices)`, as
    those of this package have it, or a function that is called with the numbers of samples that come next; ahead, how
    many samples are announced before the first is drawn: from then on there are always between as many and twice that.
    """

    def __init__(self, sampler: Iterable[Any], dataset: Any, ahead: int = 512) -> None:
        if ahead < 1:
            raise ValueError(f"at least 1 sample is announced ahead, not {ahead}")
        self.sampler, self.dataset, self.ahead = sampler, dataset, ahead

    def __iter__(self) -> Iterator[Any]:
        drawn = iter(self.sampler)
        coming = self._draw(drawn)
        while coming:
            following = self._draw(drawn)
            yield from coming
            coming = following

    def __len__(self) -> int:
        return len(cast(Sized, self.sampler))

    def __getattr__(self, name: str) -> Any:
        """All else is the sampler's own: set_epoch, num_samples, batch_size."""
        if name == "sampler":  # not set yet: this object is being unpickled
            raise AttributeError(name)
        return getattr(self.sampler, name)

    def _draw(self, drawn: Iterator[Any]) -> list[Any]:
        """The next samples or batches, announced."""
        entries: list[Any] = []
        numbers: list[int] = []
        for entry in drawn:
            entries.append(entry)
            numbers += entry if isinstance(entry, (list, tuple)) else [entry]
            if len(numbers) >= self.ahead:
                break
        if numbers:
            announce: Callable[[list[int]], object] = getattr(self.dataset, "prefetch", self.dataset)
            announce(numbers)
        return entries
