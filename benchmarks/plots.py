"""The plots beside the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.cases import listing, random_reads, scaling
from benchmarks.results import Results

DPI = 120


def draw_all(results: Results, names: dict[str, str], folder: Path) -> list[Path]:
    """Draw what was measured into `folder`; returns the files."""
    plots = []
    for name, draw in (("random_reads", _random_reads), ("listing", _listing), ("scaling", _scaling)):
        figure = draw(results, names)
        if figure is not None:
            path = folder / f"{name}.png"
            figure.savefig(path, dpi=DPI, bbox_inches="tight")
            plots.append(path)
    return plots


def _random_reads(results: Results, names: dict[str, str]) -> Figure | None:
    one, four = random_reads.ONE_CORE.name, random_reads.ALL_CORES.name
    cases = [f"cold, {one}", f"cold, {four}", f"warm, {one}", f"warm, {four}"]
    titles = [case.replace(", ", "\n") for case in cases]
    panels = [(names[key], cases, titles, names[key]) for key in ("coco", "small")]
    return _bars(results, panels, "files_per_s", "files/s, logarithmic", logarithmic=True)


def _listing(results: Results, names: dict[str, str]) -> Figure | None:
    cases = [listing.FIND, listing.LS]
    panels = [(names[key], cases, cases, names[key]) for key in ("small", "names")]
    return _bars(results, panels, "seconds", "seconds", logarithmic=False)


def _bars(
    results: Results,
    panels: Sequence[tuple[str, Sequence[str], Sequence[str], str]],
    metric: str,
    label: str,
    *,
    logarithmic: bool,
) -> Figure | None:
    """A panel for each (data, cases, their titles, heading), a group of bars for each case, a bar for each system."""
    cases = panels[0][1]
    systems = list(dict.fromkeys(key.system for case in cases for key in results.select(case=case, metric=metric)))
    if not systems:
        return None
    figure = Figure(figsize=(6 * len(panels), 4))
    axes = figure.subplots(1, len(panels), squeeze=False)
    width = 0.8 / len(systems)
    for axis, (data, cases, titles, heading) in zip(axes[0], panels, strict=True):
        for place, system in enumerate(systems):
            heights = [results.median(case, data, system, metric) or 0 for case in cases]
            axis.bar([at + place * width for at in range(len(cases))], heights, width, label=system)
        axis.set_xticks([at + 0.4 - width / 2 for at in range(len(cases))], titles)
        axis.set(title=heading, ylabel=label, yscale="log" if logarithmic else "linear")
    axes[0][-1].legend()
    return figure


def _scaling(results: Results, names: dict[str, str]) -> Figure | None:
    systems = [key.system for key in results.select(case=scaling.case("cold", 1), metric="files_per_s")]
    if not systems:
        return None
    figure = Figure(figsize=(12, 4))
    axes = figure.subplots(1, 2)
    for axis, state in zip(axes, ("cold", "warm"), strict=True):
        for system in systems:
            cases = [scaling.case(state, readers) for readers in scaling.READERS]
            rates = [results.median(case, names["coco"], system, "files_per_s") for case in cases]
            axis.plot(scaling.READERS, rates, marker="o", label=system)
        axis.set(title=f"{state} reads, {names['coco']}", xlabel="reader processes", ylabel="files/s", ylim=0)
        axis.set_xscale("log", base=2)
        axis.set_xticks(scaling.READERS, [str(n) for n in scaling.READERS])
    axes[-1].legend()
    return figure
