"""What is read ahead, for whom and how much: the pure parts."""

import numpy as np
import pytest

from ffrfs.format.records import Records
from ffrfs.fs.prefetch.budget import Budget, Progress
from ffrfs.fs.prefetch.queue import MAX_INODES, Announcements
from ffrfs.fs.prefetch.window import Windows
from ffrfs.fs.state import OWNERS

MIB = 1 << 20


def records_of(count, size):
    offsets = np.arange(count, dtype=np.int64) * size
    return Records(offsets, np.full(count, size, np.int64), np.zeros(count, np.uint32), np.array([0, count]))


def test_progress_runs_out_of_patience_more_slowly_each_time():
    progress = Progress()
    answers = []
    for now in (0, 5, 10, 29, 30, 69, 70):
        answers.append(progress.stalled(100, now))
        if answers[-1]:
            progress.give_up(now)
    assert answers == [False, False, True, False, True, False, True]
    assert not progress.stalled(101, 1000)
    assert not progress.stalled(101, 1009)
    assert progress.stalled(101, 1010)


def test_one_file_for_each_64th_of_the_budget_is_a_mark():
    budget = Budget(64 * MIB, [0] * OWNERS)
    marks = [budget.fetched(1, 300_000) for _ in range(1000)]
    assert 200 <= sum(marks) <= 1000 * 300_000 / MIB
    assert sum(budget.fetched(1, 2 * MIB) for _ in range(10)) == 10, "each of these is larger than a 64th"


def test_what_is_ahead_is_what_was_fetched_and_not_passed():
    budget = Budget(64 * MIB, [0] * OWNERS)
    while budget.has_room(1, 0, 1):
        budget.fetched(1, 100_000)
    assert not budget.has_room(1, 0, 1)
    assert budget.has_room(2, 0, 1), "another owner's is his own"
    assert not budget.has_room(1, 0, 2), "two share the budget"
    assert budget.has_room(1, 1, 1), "one mark makes room"
    budget.give_up(1)
    assert budget.has_room(1, 60, 4), "marks from before that are passed late do no harm"


def test_what_is_being_read_counts():
    budget = Budget(MIB, [0] * OWNERS)
    budget.begin(0, MIB)
    assert not budget.has_room(0, 0, 1)
    budget.end(0, MIB)
    assert budget.has_room(0, 0, 1)


@pytest.mark.parametrize("max_bytes", [1, 2, 3, 63])
def test_a_tiny_budget_still_lets_one_file_be_ahead(max_bytes):
    budget = Budget(max_bytes, [0] * OWNERS)
    assert budget.has_room(1, 0, 1)
    assert budget.fetched(1, 10_000)
    assert not budget.has_room(1, 0, 1)
    assert budget.has_room(1, 1, 1)


def test_a_window_doubles_while_its_run_goes_on_and_is_marked_in_its_middle():
    windows = Windows(records_of(10_000, 10_000), 256 * MIB)
    first = windows.next(10)
    assert first.records == range(11, 11 + 105)
    assert first.mark == 11 + 52
    assert windows.next(20) is None, "half a window is ahead"
    second = windows.next(first.mark)
    assert second.records.start == first.records.stop
    assert len(second.records) == 210
    assert windows.next(5_000).records == range(5_001, 5_106), "another run"


def test_a_window_ends_with_the_archive():
    windows = Windows(records_of(100, 10_000), 256 * MIB)
    assert windows.next(90).records == range(91, 100)
    assert list(windows.next(99).records) == []


def test_users_are_served_in_turn():
    announced = Announcements()
    announced.add(1000, [1, 2], 0.0)
    announced.add(1000, [3], 2.0)
    announced.add(1001, [4], 0.0)
    assert announced.active() == 2
    taken = []
    while owner := next(announced.waiting(), None):
        taken.append(list(announced.take(owner)[1]))
    assert taken == [[1, 2], [4], [3]]


def test_what_a_user_announces_is_bounded_and_takes_nothing_from_others():
    announced = Announcements()
    flood = list(range(1, 201))
    dropped = sum(announced.add(1000, flood, 0.0) for _ in range(MAX_INODES // 200 + 100))
    assert 0 < dropped <= 101 * 200
    assert announced.add(1001, [4], 0.0) == 0
    assert sum(announced.add(uid, [1], 0.0) for uid in range(2000, 2000 + 2 * OWNERS)) > OWNERS // 2
    assert [4] in [list(announced.take(owner)[1]) for owner in list(announced.waiting())]


def test_many_small_announcements_are_kept_together():
    announced = Announcements()
    for inode in range(1, 1001):
        announced.add(1000, [inode], inode / 1e6)
    (owner,) = announced.waiting()
    taken = [list(announced.take(owner)[1]) for _ in range(4)]
    assert [inode for part in taken for inode in part] == list(range(1, 1001))
    assert announced.active() == 0


def test_announcements_that_nobody_follows_are_forgotten():
    announced = Announcements()
    announced.add(1000, [1, 2, 3], 0.0)
    (owner,) = announced.waiting()
    announced.has_room(owner, 1.0)
    assert announced.forget_unfollowed(owner, 0, 2.0) is None
    assert announced.forget_unfollowed(owner, 0, 60.0) is None, "a training may pause for a validation"
    announced.add(1000, [4], 60.0)
    assert announced.forget_unfollowed(owner, 0, 60.0) == 3, "there are newer ones"
    assert list(announced.take(owner)[1]) == [4]
    announced.add(1000, [5], 61.0)
    assert announced.forget_unfollowed(owner, 0, 59.0 + 600) is None
    assert announced.forget_unfollowed(owner, 0, 62.0 + 660) == 1
    assert announced.active() == 0


def test_marks_that_are_passed_are_progress():
    announced = Announcements()
    announced.add(1000, [1], 0.0)
    (owner,) = announced.waiting()
    announced.has_room(owner, 0.0)
    for passed in range(1, 100):
        assert announced.forget_unfollowed(owner, passed, passed * 9.0) is None
