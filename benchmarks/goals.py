"""The lines that ffrfs wants to reach, and the judgement on each.

A goal compares the median of one value with the median of another, or with a fixed bound; it is reached when the ratio
is at least, or at most, what the goal says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from benchmarks.bench import Plan
from benchmarks.cases import in_process, large_file, listing, mounting, packing, random_reads, slow_storage
from benchmarks.results import Results


class Sense(Enum):
    """Which side of the bound is good."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True)
class Value:
    """Where a number is found in the results; `data` is a tree's key, see `data_names`."""

    case: str
    data: str
    system: str
    metric: str

    def median(self, results: Results, names: dict[str, str]) -> float | None:
        """The median of its rounds, None if it was not measured."""
        return results.median(self.case, names[self.data], self.system, self.metric)


@dataclass(frozen=True)
class Goal:
    """`ours` against `theirs` (None: against 1 in the metric's unit): ratio `sense` `bound`."""

    work: str
    ours: Value
    theirs: Value | None
    sense: Sense
    bound: float


@dataclass(frozen=True)
class Judgement:
    """A goal with its numbers; `ratio` and what follows are None where something was not measured."""

    goal: Goal
    data: str
    ours: float | None
    theirs: float | None
    ratio: float | None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached."""
        if self.ratio is None:
            return None
        return self.ratio >= self.goal.bound if self.goal.sense is Sense.AT_LEAST else self.ratio <= self.goal.bound


def data_names(plan: Plan, coco: str, small: str, large: str) -> dict[str, str]:
    """The titles, in the results, of the data that goals name by key."""
    names = {"names": f"{plan.names:,} names", "many": f"{plan.many_names:,} names"}
    return {"coco": coco, "small": small, "large": large} | names


def judge(results: Results, names: dict[str, str]) -> list[Judgement]:
    """Judge every goal."""
    judgements = []
    for goal in goals():
        ours = goal.ours.median(results, names)
        theirs = goal.theirs.median(results, names) if goal.theirs else 1.0
        ratio = ours / theirs if ours is not None and theirs else None
        judgements.append(Judgement(goal, names[goal.ours.data], ours, theirs, ratio))
    return judgements


def goals() -> Iterator[Goal]:
    """All goals, in the order of the table."""
    yield from _mount_goals()
    yield from _index_goals()
    yield from _in_process_goals()


def _mount_goals() -> Iterator[Goal]:
    one, four = random_reads.ONE_CORE.name, random_reads.ALL_CORES.name
    peers: tuple[tuple[str, str, str, dict[str, float]], ...] = (
        ("warm re-reads", f"warm, {four}", "EROFS", {"coco": 0.95, "small": 0.85}),
        ("cold reads, listed before", f"listed, {four}", "EROFS", {"coco": 1.0, "small": 1.3}),
        ("cold reads, listed before", f"listed, {four}", "squashfuse_ll", {"coco": 2, "small": 3}),
        ("cold reads, never listed", f"cold, {one}", "squashfuse_ll", {"coco": 1.2, "small": 1.9}),
    )
    for work, case, peer, bounds in peers:
        setting = case.partition(", ")[2]
        for data, bound in bounds.items():
            ours, theirs = (Value(case, data, system, "files_per_s") for system in ("ffrfs", peer))
            yield Goal(f"{work}, {setting}; {peer}", ours, theirs, Sense.AT_LEAST, bound)
    requests = (
        ("a warm file", random_reads.REQUESTS_WARM, 0),
        ("a cold file of a listed folder", random_reads.REQUESTS_LISTED, 1.01),
        ("a cold file, never listed, over an epoch", random_reads.REQUESTS_COLD, 1.1),
    )
    for what, case, bound in requests:
        for data in ("coco", "small"):
            waited = Value(case, data, "ffrfs", "waited_per_file")
            yield Goal(f"requests waited for, {what}", waited, None, Sense.AT_MOST, bound)
    for data, bound in (("coco", 0.6), ("small", 0.3)):
        ours, theirs = (Value(f"listed, {four}", data, system, "daemon_us") for system in ("ffrfs", "squashfuse_ll"))
        yield Goal("daemon CPU, a cold and a warm pass; squashfuse_ll", ours, theirs, Sense.AT_MOST, bound)
    ours, theirs = (Value(large_file.PASS, "large", system, "mb_per_s") for system in ("ffrfs", "disk"))
    yield Goal(f"{large_file.PASS}; disk", ours, theirs, Sense.AT_LEAST, 0.4)
    random = Value(large_file.RANDOM, "large", "ffrfs", "ms")
    yield Goal(f"{large_file.RANDOM}, ms", random, None, Sense.AT_MOST, 5)


def _index_goals() -> Iterator[Goal]:
    baseline = "ffrfs 0.1.0"
    for case, peer in ((listing.FIND, baseline), (listing.AGAIN, "squashfuse_ll"), (listing.LS, baseline)):
        ours, theirs = (Value(case, "names", system, "seconds") for system in ("ffrfs", peer))
        yield Goal(f"{case}, time; {peer}", ours, theirs, Sense.AT_MOST, 1)
    again = Value(mounting.AGAIN, "many", "ffrfs", "seconds")
    yield Goal("mount, index kept, seconds", again, None, Sense.AT_MOST, 0.5)
    memory = Value(mounting.AGAIN, "many", "ffrfs", "private_mb")
    yield Goal("mount, index kept, private MB", memory, None, Sense.AT_MOST, 40)
    first = Value(mounting.FIRST, "many", "ffrfs", "seconds")
    unpickling = Value(mounting.UNPICKLING, "many", "pickle", "seconds")
    yield Goal("first mount, time; bare unpickling", first, unpickling, Sense.AT_MOST, 2.5)
    lookup = Value(in_process.LOOKUP, "many", "ffrfs", "us_per_component")
    yield Goal("lookup, µs a path component", lookup, None, Sense.AT_MOST, 3)


def _in_process_goals() -> Iterator[Goal]:
    rate, baseline = "files_per_s", "ffrfs 0.1.0"
    one, batched, pread = (in_process.ONE, "ffrfs"), (in_process.BATCHED, "ffrfs"), (in_process.ONE, "pread + CRC32")
    epoch, crowd, hinted = slow_storage.EPOCH, slow_storage.CROWD, slow_storage.HINTED
    packed, cat = (packing.WARM, "ffrfs"), (packing.WARM, "cat")
    both, small = ("coco", "small"), ("small",)
    pairs: tuple[tuple[str, tuple[str, str], tuple[str, str], tuple[str, ...], float], ...] = (
        ("read_one with CRC; pread + CRC32", one, pread, small, 0.8),
        ("batch of 64 with CRC, page cache; 64 × read_one", batched, one, small, 1.3),
        (f"{epoch}, hinted; 0.1.0 unhinted", (epoch, hinted), (epoch, baseline), both, 10),
        (f"{crowd}; 0.1.0", (crowd, "ffrfs"), (crowd, baseline), both, 2.8),
        ("packing, page cache; cat into one file", packed, cat, both, 0.8),
    )
    for work, (our_case, us), (their_case, them), trees, bound in pairs:
        for data in trees:
            ours, theirs = Value(our_case, data, us, rate), Value(their_case, data, them, rate)
            yield Goal(work, ours, theirs, Sense.AT_LEAST, bound)
