"""The judgement on measured goals: ratios, both senses, and what was not measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import goals
from benchmarks.bench import FULL
from benchmarks.report import goal_table
from benchmarks.results import Results

ROOT = Path(__file__).parents[2]
NAMES = goals.data_names(FULL, "large files", "small files", "one large file")
COLD = "cold, 1 reader, one core"


def judgement(results: Results, work: str, data: str) -> goals.Judgement:
    """The one judgement on a goal whose text begins so."""
    [found] = [one for one in goals.judge(results, NAMES) if one.goal.work.startswith(work) and one.data == data]
    return found


@pytest.mark.parametrize(("ours", "reached"), [(1199.0, False), (1200.0, True), (4000.0, True)])
def test_a_ratio_must_be_at_least_the_bound(ours, reached):
    results = Results()
    results.add(COLD, "large files", "ffrfs", files_per_s=ours)
    results.add(COLD, "large files", "squashfuse_ll", files_per_s=1000.0)
    found = judgement(results, "cold reads, never listed, 1 reader, one core; squashfuse_ll", "large files")
    assert (found.ratio, found.reached) == (ours / 1000, reached)


@pytest.mark.parametrize(("ours", "reached"), [(0.05, True), (0.5, True), (0.51, False)])
def test_a_value_without_a_peer_must_be_at_most_the_bound(ours, reached):
    results = Results()
    results.add("mount, again", "10,000,000 names", "ffrfs", seconds=ours)
    assert judgement(results, "mount, index kept, seconds", "10,000,000 names").reached is reached


def test_medians_are_compared():
    results = Results()
    for ours, theirs in ((1.0, 9.0), (20.0, 10.0), (30.0, 99.0)):
        results.add(COLD, "small files", "ffrfs", files_per_s=ours)
        results.add(COLD, "small files", "squashfuse_ll", files_per_s=theirs)
    found = judgement(results, "cold reads, never listed, 1 reader, one core; squashfuse_ll", "small files")
    assert (found.ours, found.theirs, found.ratio) == (20, 10, 2)


def test_what_was_not_measured_is_not_judged():
    results = Results()
    results.add(COLD, "large files", "ffrfs", files_per_s=1000.0)  # the peers are missing
    judgements = goals.judge(results, NAMES)
    assert {one.reached for one in judgements} == {None}
    assert goal_table(judgements).count("not measured") == len(judgements)


def test_the_page_of_goals_shows_them_as_they_were_judged():
    results = ROOT / "benchmarks" / "results" / "README.md"
    [table] = re.findall(r"^\| work \|(?:.*\n)+?\n", results.read_text(), re.MULTILINE)
    assert table.strip() in (ROOT / "benchmarks" / "README.md").read_text()
