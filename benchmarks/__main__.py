"""`make bench`: measure ffrfs and its peers, judge every goal, write a report with plots."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks import goals, plots, report
from benchmarks.bench import FULL, QUICK, Bench
from benchmarks.cases import (
    in_process,
    large_file,
    listing,
    mounting,
    packing,
    random_reads,
    scaling,
    sequential,
    slow_storage,
)

HERE = Path(__file__).parent
CASES = {
    "random": random_reads.run,
    "scaling": scaling.run,
    "sequential": sequential.run,
    "listing": listing.run,
    "large-file": large_file.run,
    "mounting": mounting.run,
    "in-process": in_process.run,
    "slow-storage": slow_storage.run,
    "packing": packing.run,
}


def main() -> None:
    """Parse the command line, run the cases, write the report."""
    arguments = _parser().parse_args()
    if os.geteuid() != 0:
        sys.exit("Emptying caches, mounting EROFS and tracing need root: sudo make bench")
    plan = QUICK if arguments.quick else FULL
    if arguments.rounds:
        plan = replace(plan, rounds=arguments.rounds)
    out = arguments.out or (arguments.data / "quick-results" if arguments.quick else HERE / "results")
    for folder in (arguments.data, out):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(arguments.data / "cache")  # indexes of archives on read-only storage
    bench = Bench(plan, arguments.data.resolve(), Console(highlight=False))
    try:
        for name in arguments.only or CASES:
            CASES[name](bench)
    finally:
        bench.mountpoint.rmdir()
    names = goals.data_names(plan, bench.coco.name, bench.small.name, bench.large.name)
    judgements = goals.judge(bench.results, names)
    bench.results.save(out / "samples.csv")
    report.write_report(bench, judgements, plots.draw_all(bench.results, names, out), out / "README.md")
    bench.console.print(report.goal_table(judgements), soft_wrap=True)
    bench.console.print(f"the report is {out / 'README.md'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure ffrfs and its peers.")
    parser.add_argument("--quick", action="store_true", help="little data, one round: shows that everything runs")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement")
    parser.add_argument("--only", nargs="+", choices=CASES, help="run only these cases")
    parser.add_argument("--data", type=Path, default=HERE.parent / ".cache/bench", help="data and images, some 15 GB")
    parser.add_argument("--out", type=Path, help="where the report goes")
    return parser


if __name__ == "__main__":
    main()
