"""What all mounts of this node have counted, for Prometheus.

A mount that hangs keeps whoever reads from it. So each is asked in a thread of its own, which is left behind when no
answer comes in time; a mount is not asked again before that thread has come back. Needs prometheus_client.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import Collector

from ffrfs.errors import MountError
from ffrfs.fs.counters import COUNTERS
from ffrfs.mount.mountpoint import DEAD_ERRNOS, Mount, list_mounts
from ffrfs.mount.observation import Observation, observe
from ffrfs.mount.probe import State

__all__ = ["MountCollector"]

_ANSWER_SECONDS = 2.0  # for all mounts together; Prometheus waits for ten by default


class MountCollector(Collector):
    """Asks the mounts each time Prometheus does. Args: seconds, how long a mount may take to answer."""

    def __init__(self, seconds: float = _ANSWER_SECONDS) -> None:
        self._seconds = seconds
        self._questions: dict[tuple[int, str], _Question] = {}  # those without an answer
        self._asking = threading.Lock()

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that no mount is asked when the collector is registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The metrics of all mounts; called by any thread."""
        mounts = {_text(mount.mountpoint): mount for mount in list_mounts()}  # the topmost at each place
        with self._asking:
            answers = self._ask(mounts)
        yield from _metrics(mounts, answers)

    def _ask(self, mounts: dict[str, Mount]) -> dict[str, Observation | State]:
        deadline = time.monotonic() + self._seconds
        questions = {}
        for mount in mounts.values():
            key = (mount.number, mount.mountpoint)
            questions[key] = self._questions.get(key) or _Question(mount.mountpoint)
        # Those of mounts that have gone end by themselves: the connection has ended.
        answers = {
            label: questions[mount.number, mount.mountpoint].answer(deadline) for label, mount in mounts.items()
        }
        self._questions = {key: question for key, question in questions.items() if not question.is_answered()}
        return answers


class _Question:
    """One mount that is being asked."""

    def __init__(self, mountpoint: str) -> None:
        self._mountpoint = mountpoint
        self._answer: Observation | State = State.HANGING
        self._thread = threading.Thread(target=self._ask, name=f"ask {mountpoint!a}", daemon=True)
        self._thread.start()

    def answer(self, deadline: float) -> Observation | State:
        """What it says until this time, of `time.monotonic`."""
        self._thread.join(max(deadline - time.monotonic(), 0))
        return self._answer

    def is_answered(self) -> bool:
        """Whether the answer is there."""
        return not self._thread.is_alive()

    def _ask(self) -> None:
        try:
            self._answer = observe(self._mountpoint)
        except (MountError, OSError):
            self._answer = _why_not(self._mountpoint)


def _why_not(mountpoint: str) -> State:
    try:
        os.statvfs(mountpoint)
    except OSError as error:
        return State.DEAD if error.errno in DEAD_ERRNOS else State.REFUSED
    return State.ALIVE  # a part of a mount, or of another version


def _metrics(mounts: dict[str, Mount], answers: dict[str, Observation | State]) -> Iterator[Metric]:
    state = StateSetMetricFamily("ffrfs_mount_state", "Whether the mount answers.", labels=["mountpoint"])
    info = GaugeMetricFamily("ffrfs_mount_info", "What is mounted.", labels=["mountpoint", "archive"])
    for label, mount in mounts.items():
        answer = answers[label]
        is_now = answer if isinstance(answer, State) else State.ALIVE
        state.add_metric([label], {one.value: one is is_now for one in State})
        info.add_metric([label, _text(mount.source)], 1)
    yield from (state, info)

    observed = {label: answer for label, answer in answers.items() if isinstance(answer, Observation)}
    yield _gauge("ffrfs_workers", "Processes that answer requests.", observed, lambda found: found.workers)
    yield _gauge("ffrfs_files", "Files in the archive.", observed, lambda found: found.files)
    yield _gauge("ffrfs_start_time_seconds", "When it was mounted.", observed, lambda found: found.begin)
    for counter in COUNTERS:
        family = CounterMetricFamily(f"ffrfs_{counter.name}", f"{counter.title.capitalize()}.", labels=["mountpoint"])
        for label, found in observed.items():
            family.add_metric([label], found.counters[counter.name])
        yield family
    yield _read_times(observed)


def _gauge(
    name: str, text: str, observed: dict[str, Observation], value: Callable[[Observation], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=["mountpoint"])
    for label, found in observed.items():
        family.add_metric([label], value(found))
    return family


def _read_times(observed: dict[str, Observation]) -> HistogramMetricFamily:
    family = HistogramMetricFamily("ffrfs_read_seconds", "Time to answer a READ.", labels=["mountpoint"])
    for label, found in observed.items():
        below, buckets = 0, []
        for bucket, number in enumerate(found.read_histogram):
            below += number
            buckets.append((f"{2**bucket / 1e6:g}", float(below)))
        buckets.append(("+Inf", float(below)))
        family.add_metric([label], buckets, found.counters["read_us"] / 1e6)
    return family


def _text(path: str) -> str:
    """A path as the value of a label, which is UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
