"""What follows from the counters of a mount."""

from dataclasses import replace

import pytest

from ffrfs.fs.counters import HISTOGRAM_BUCKETS
from ffrfs.fs.state import SharedState
from ffrfs.fs.statistics import TEXT_BYTES, StatisticsFolder
from ffrfs.mount.observation import Observation

EMPTY = [0] * HISTOGRAM_BUCKETS


def seen(begin, end, histogram=EMPTY, **counters):
    return Observation("/a.ffr", "/mnt", 2, 10, counters, list(histogram), begin, end)


def test_rates_are_means_over_the_span():
    total = seen(100.0, 110.0, lookups=50)
    assert total.rate("lookups") == 5
    later = seen(100.0, 112.0, lookups=90).since(total)
    assert (later.begin, later.end, later.counters, later.rate("lookups")) == (110.0, 112.0, {"lookups": 40}, 20)


def test_shares_of_nothing_are_none():
    span = seen(0, 1, reads=8, reads_waited=2, prefetched=0)
    assert span.share("reads_waited", "reads") == 0.25
    assert span.share("prefetched", "prefetched") is None


@pytest.mark.parametrize(
    ("quantile", "below"), [(0.0, 8), (0.5, 8), (0.89, 8), (0.9, 8), (0.91, 64), (0.99, 64), (0.991, 1024), (1.0, 1024)]
)
def test_quantiles_are_the_bucket_that_holds_them(quantile, below):
    histogram = list(EMPTY)
    histogram[3], histogram[6], histogram[10] = 900, 90, 10
    assert seen(0, 1, histogram).read_below_us(quantile) == below


def test_quantiles_of_nothing_are_none():
    assert seen(0, 1).read_below_us(0.5) is None


def test_a_difference_keeps_what_the_mount_is():
    first = seen(0, 1, reads=1)
    assert replace(first.since(first), begin=0, counters=first.counters) == first


def test_paths_of_any_kind_fit_into_the_text_for_prometheus():
    for mountpoint in ('/mnt/"quoted"\\\n', "/mnt/\udcff", "/mnt/" + "é" * 4000):
        folder = StatisticsFolder(SharedState(1, 1, 1), "/a.ffr", mountpoint, 1, 1)
        text = folder.text(folder.lookup(folder.lookup(1, b".ffrfs"), b"metrics"))
        assert len(text) == TEXT_BYTES
        lines = text.decode("utf-8").rstrip().split("\n")
        assert all(line.startswith(("# TYPE ffrfs_", "ffrfs_")) for line in lines)
        assert lines[-1].split()[-1] == "0"
