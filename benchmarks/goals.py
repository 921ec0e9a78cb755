"""The lines that ffrfs wants to reach, and the judgement on each.

A goal compares the median of one value with the median of another, or with a fixed bound; it is reached when the ratio
is at least, or at most, what the goal says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from benchmarks.bench import Plan
from benchmarks.cases import in_process, listing, mounting, packing, random_reads, sequential, slow_storage
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


def data_names(plan: Plan, coco: str, small: str) -> dict[str, str]:
    """The titles, in the results, of the data that goals name by key."""
    return {"coco": coco, "small": small, "names": f"{plan.names:,} names", "many": f"{plan.many_names:,} names"}


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
    peers: tuple[tuple[str, str, str, float], ...] = (
        ("cold random reads", f"cold, {one}", "squashfuse_ll", 1.25),
        ("cold random reads", f"cold, {one}", "ratarmount", 4),
        ("cold random reads", f"cold, {four}", "squashfuse_ll", 1.5),
        ("warm re-reads", f"warm, {one}", "squashfuse_ll", 0.8),
        ("warm re-reads", f"warm, {four}", "squashfuse_ll", 0.8),
        ("sequential pass by cat", sequential.CAT, "disk", 0.7),
        ("sequential pass by tar", sequential.TAR, "disk", 0.7),
    )
    for work, case, peer, bound in peers:
        for data in ("coco", "small"):
            ours, theirs = (Value(case, data, system, "files_per_s") for system in ("ffrfs", peer))
            setting = case.partition(", ")[2]
            yield Goal(f"{work}, {setting}; {peer}", ours, theirs, Sense.AT_LEAST, bound)
    for data in ("coco", "small"):
        waited = Value(random_reads.REQUESTS_LISTED, data, "ffrfs", "waited_per_file")
        yield Goal("requests waited for, per cold file of a listed folder", waited, None, Sense.AT_MOST, 1)
    ours, theirs = (Value(f"cold, {one}", "coco", system, "daemon_us") for system in ("ffrfs", "squashfuse_ll"))
    yield Goal("daemon CPU per cold file; squashfuse_ll", ours, theirs, Sense.AT_MOST, 1)


def _index_goals() -> Iterator[Goal]:
    for case in (listing.FIND, listing.LS):
        # Seconds, so the inverse of a speed: at most the peer's.
        ours, theirs = (Value(case, "names", system, "seconds") for system in ("ffrfs", "squashfuse_ll"))
        yield Goal(f"{case}, time; squashfuse_ll", ours, theirs, Sense.AT_MOST, 1)
    again = Value(mounting.AGAIN, "many", "ffrfs", "seconds")
    yield Goal("mount, index kept, seconds", again, None, Sense.AT_MOST, 0.1)
    memory = Value(mounting.AGAIN, "many", "ffrfs", "private_mb")
    yield Goal("mount, index kept, private MB", memory, None, Sense.AT_MOST, 40)
    first = Value(mounting.FIRST, "many", "ffrfs", "seconds")
    unpickling = Value(mounting.UNPICKLING, "many", "pickle", "seconds")
    yield Goal("first mount, time; bare unpickling", first, unpickling, Sense.AT_MOST, 2)
    lookup = Value(in_process.LOOKUP, "many", "ffrfs", "us_per_component")
    yield Goal("lookup, µs a path component", lookup, None, Sense.AT_MOST, 3)


def _in_process_goals() -> Iterator[Goal]:
    files, ms, hinted = "files_per_s", "ms", slow_storage.HINTED
    pairs: tuple[tuple[str, tuple[str, str], tuple[str, str], str, Sense, float], ...] = (
        ("read_one with CRC; pread + CRC32", (in_process.ONE, "ffrfs"), (in_process.ONE, "pread + CRC32"), files,
         Sense.AT_LEAST, 0.8),
        ("batch of 64 with CRC, page cache; 64 × read_one", (in_process.BATCHED, "ffrfs"), (in_process.ONE, "ffrfs"),
         files, Sense.AT_LEAST, 1),
        ("batch of 64, 5 ms storage, time; one read", (slow_storage.BATCHED, "ffrfs"), (slow_storage.ONE, "ffrfs"), ms,
         Sense.AT_MOST, 4),
        ("hinted shuffled epoch, 5 ms storage, 4 readers; unhinted", (slow_storage.EPOCH, hinted),
         (slow_storage.EPOCH, "ffrfs"), files, Sense.AT_LEAST, 10),
        ("packing, page cache; cat into one file", (packing.WARM, "ffrfs"), (packing.WARM, "cat"), files,
         Sense.AT_LEAST, 0.8),
    )  # fmt: skip
    for work, (our_case, us), (their_case, them), metric, sense, bound in pairs:
        for data in ("coco", "small"):
            yield Goal(work, Value(our_case, data, us, metric), Value(their_case, data, them, metric), sense, bound)
