"""What was measured: a flat list of samples, asked for by medians."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path


@dataclass(frozen=True, order=True)
class Key:
    """What a value is of: a case and its setting, the data, the system, and the metric with its unit."""

    case: str
    data: str
    system: str
    metric: str


class Results:
    """Samples by key, in the order in which they were first added."""

    def __init__(self) -> None:
        self._samples: dict[Key, list[float]] = {}

    def add(self, case: str, data: str, system: str, **metrics: float) -> None:
        """Add a value for each metric of one round."""
        for metric, value in metrics.items():
            self._samples.setdefault(Key(case, data, system, metric), []).append(value)

    def values(self, case: str, data: str, system: str, metric: str) -> list[float]:
        """The values of all rounds; empty if it was not measured."""
        return self._samples.get(Key(case, data, system, metric), [])

    def median(self, case: str, data: str, system: str, metric: str) -> float | None:
        """The median over the rounds, or None if it was not measured."""
        values = self.values(case, data, system, metric)
        return statistics.median(values) if values else None

    def select(self, **wanted: str) -> Iterable[Key]:
        """The keys whose fields are as wanted, in the order in which they were measured."""
        return [key for key in self._samples if all(getattr(key, name) == value for name, value in wanted.items())]

    def save(self, path: Path) -> None:
        """Write every sample as a line of CSV."""
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow([*(field.name for field in fields(Key)), "values"])
            for key, values in self._samples.items():
                writer.writerow([*astuple(key), *(f"{value:.6g}" for value in values)])
