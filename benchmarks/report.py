"""The results as Markdown: the goals judged, then all medians with their ranges."""

from __future__ import annotations

import os
import platform
import statistics
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.goals import Judgement
from benchmarks.results import Results

UNITS = {
    "files_per_s": "files/s",
    "daemon_us": "daemon CPU, µs a file",
    "waited_per_file": "requests waited for, a file",
    "seconds": "s",
    "private_mb": "private memory, MB",
    "us_per_component": "µs a path component",
    "ms": "ms",
}
VERDICTS = {True: "reached", False: "**not reached**", None: "not measured"}
CACHES = (
    "Cache states: *cold*: mounted a moment ago, nothing of the mount in the page cache and no name known, the image in"
    " the page cache; *listed*: the same after `ls -lR`; *warm*: the same files again; *cold storage*: everything"
    " dropped (`drop_caches` 3). *One core*: daemon and reader on the same one. Each round mounts anew, the systems"
    " take turns within a round; values are medians of the rounds, in brackets the lowest and the highest."
)


def write_report(bench: Bench, judgements: list[Judgement], plots: list[Path], path: Path) -> None:
    """Write the report to `path`; the plots lie beside it."""
    parts = [
        "# Benchmarks",
        f"{_machine()} {bench.plan.rounds} rounds. Ratios are the point, absolute numbers are this machine's.",
        CACHES,
        "## Goals",
        "Where a line names a peer after a semicolon, the goal is about the ratio to it.",
        goal_table(judgements),
        *(f"![{plot.stem}]({plot.name})" for plot in plots),
        "## All measurements",
        *_case_tables(bench.results),
    ]
    if bench.skipped:
        parts += ["## Left out", *(f"- {name}: {reason}" for name, reason in bench.skipped.items())]
    path.write_text("\n\n".join(parts) + "\n")


def goal_table(judgements: list[Judgement]) -> str:
    """A line for each goal."""
    rows = [
        [
            judgement.goal.work,
            judgement.data,
            _number(judgement.ours),
            _number(judgement.theirs) if judgement.goal.theirs else "",
            "–" if judgement.ratio is None else f"{judgement.ratio:.5g}",  # 1.0001 is more than 1
            f"{judgement.goal.sense.value} {judgement.goal.bound:g}",
            VERDICTS[judgement.reached],
        ]
        for judgement in judgements
    ]
    return _table(["work", "data", "ffrfs", "peer", "ratio or value", "goal", ""], rows)


def _case_tables(results: Results) -> list[str]:
    parts = []
    for case in dict.fromkeys(key.case for key in results.select()):
        metrics = list(dict.fromkeys(key.metric for key in results.select(case=case)))
        rows = [
            [data, system, *(_range(results.values(case, data, system, metric)) for metric in metrics)]
            for data, system in dict.fromkeys((key.data, key.system) for key in results.select(case=case))
        ]
        headings = [UNITS.get(metric, metric.upper()) for metric in metrics]
        parts += [f"### {case[0].upper()}{case[1:]}", _table(["data", "system", *headings], rows)]
    return parts


def _table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _range(values: list[float]) -> str:
    if not values:
        return ""
    median = _number(statistics.median(values))
    return median if len(values) == 1 else f"{median} ({_number(min(values))} to {_number(max(values))})"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _machine() -> str:
    cpus = len(os.sched_getaffinity(0))
    return f"{cpus} CPUs, Linux {platform.release()}, Python {platform.python_version()}."
