"""How numbers of a mount look in a terminal: tables and lines. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich import box
from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from ffrfs.errors import printable
from ffrfs.fs.counters import COUNTERS, Kind
from ffrfs.mount.observation import Observation

__all__ = ["activity_heading", "activity_line", "activity_table", "plain_table"]

_NONE = "–"
_TROUBLE = [counter for counter in COUNTERS if counter.kind is Kind.TROUBLE]
_LINE = "{:>8}  {:>9}  {:>9}  {:>10}  {:>7}  {:>9}  {:>7}  {:>8}  {:>8}  {:>6}"


def plain_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Columns without lines between them, as ps and df print, nothing shortened."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=True, overflow="ignore")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def activity_table(total: Observation, recent: Observation | None) -> RenderableType:
    """What a mount has done since it was made and, if known, what it is doing."""
    up = timedelta(seconds=round(total.end - total.begin))
    title = f"{total.mountpoint}: {total.files:,} files of {total.archive}, {total.workers} workers, up {up}"
    table = Table(box=box.SIMPLE_HEAD)
    spans = [total] if recent is None else [recent, total]
    table.add_column("")
    if recent is not None:
        table.add_column("now, a second", justify="right")
    table.add_column("total", justify="right")
    table.add_column("mean a second", justify="right")
    table.add_column("share", justify="right")

    for counter in COUNTERS:
        if counter.kind is Kind.COUNT:
            part = counter.share_of
            share = _percent((recent or total).share(counter.name, part)) if part else ""
            now = [_number(recent.rate(counter.name))] if recent else []
            count, rate = f"{total.counters[counter.name]:,}", _number(total.rate(counter.name))
            table.add_row("  " * bool(part) + counter.title, *now, count, rate, share)
        elif counter.kind is Kind.BYTES:
            now = [decimal(round(recent.rate(counter.name)))] if recent else []
            count, rate = decimal(total.counters[counter.name]), decimal(round(total.rate(counter.name)))
            table.add_row(counter.title, *now, count, rate, "")
    for name, quantile in (("half of the reads took less than", 0.5), ("99 % of the reads took less than", 0.99)):
        times = [_microseconds(span.read_below_us(quantile)) for span in spans]
        table.add_row(name, *times, "", "")
    for counter in _TROUBLE:
        if total.counters[counter.name]:
            now = [_number(recent.rate(counter.name))] if recent else []
            table.add_row(f"[red]{counter.title}[/red]", *now, f"{total.counters[counter.name]:,}", "", "")
    return Group(Text(printable(title), style="bold", no_wrap=True), table)


def activity_heading() -> str:
    """The heading above lines of `activity_line`."""
    return _LINE.format("time", "lookups/s", "reads/s", "bytes/s", "waited", "ahead/s", "used", "p50", "p99", "errors")


def activity_line(recent: Observation) -> str:
    """One line about a span of time, for logs and pipes."""
    return _LINE.format(
        datetime.fromtimestamp(recent.end).strftime("%H:%M:%S"),
        _number(recent.rate("lookups")),
        _number(recent.rate("reads")),
        decimal(round(recent.rate("read_bytes"))),
        _percent(recent.share("reads_waited", "reads")),
        _number(recent.rate("prefetched")),
        _percent(recent.share("prefetch_hits", "prefetch_markers")),
        _microseconds(recent.read_below_us(0.5)),
        _microseconds(recent.read_below_us(0.99)),
        sum(recent.counters[counter.name] for counter in _TROUBLE[1:]),
    )


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.2g}"


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{share:.0%}"


def _microseconds(number: int | None) -> str:
    if number is None:
        return _NONE
    return f"{number} µs" if number < 1000 else f"{number / 1000:.3g} ms" if number < 1e6 else f"{number / 1e6:.3g} s"
