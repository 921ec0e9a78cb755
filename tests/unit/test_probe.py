"""Asking many mounts whether they answer."""

import multiprocessing

from ffrfs.mount import probe
from ffrfs.mount.probe import State, probe_all


def test_mounts_are_asked_all_at_once(monkeypatch):
    together = multiprocessing.get_context("fork").Barrier(5)
    monkeypatch.setattr(probe, "_ask", lambda _: together.wait() * 0)
    assert probe_all([None] * 5, 60) == [State.ALIVE] * 5


def test_each_gets_its_own_answer(monkeypatch):
    monkeypatch.setattr(probe, "_ask", lambda number: number)
    assert probe_all(list(range(3)) * 50, 60) == [State.ALIVE, State.DEAD, State.REFUSED] * 50


def test_those_that_do_not_answer_are_left_behind(monkeypatch):
    never = multiprocessing.get_context("fork").Event()
    monkeypatch.setattr(probe, "_ask", lambda answers: 0 if answers else never.wait())
    assert probe_all([False, True, False], 1) == [State.HANGING, State.ALIVE, State.HANGING]
