"""Whose turn it is to answer a request that was sent again."""

import errno
import socket
import struct

import pytest

from ffrfs.daemon.suspects import Suspects
from ffrfs.fs.hands import Hand, Hands, Resent
from ffrfs.fuse.channel import Channel
from ffrfs.fuse.wire import RESENT


def request(unique):
    return memoryview(struct.pack("<IIQQIIIHH", 80, 15, unique, 7, 1000, 0, 1, 0, 0) + bytes(40))


@pytest.fixture
def hands():
    return Hands(2)


@pytest.fixture
def kernel():
    """Our end of the session, and the other one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(0)
        yield ours, Channel(theirs.fileno())


@pytest.fixture
def poisoned():
    return []


@pytest.fixture
def suspects(hands, kernel, poisoned):
    suspects = Suspects(hands, kernel[1], lambda: poisoned.append(1))
    yield suspects
    suspects.close()


def test_what_a_dead_worker_had_in_hand_is_known(hands):
    hand = Hand(hands, 1)
    hand.hold(4 | RESENT)
    slot = hand.keep(6)
    assert hands.is_held(4) and hands.is_held(6)
    assert not hands.is_held(8)
    assert sorted(hands.take_from(1)) == [4, 6]
    assert hands.take_from(1) == []
    hand.give_back(slot)
    assert not hands.is_held(6)


def test_more_than_can_be_noted_is_not_noted(hands):
    hand = Hand(hands, 0)
    slots = [hand.keep(unique) for unique in range(2, 2000, 2)]
    assert slots[-1] == 0
    for slot in slots:
        hand.give_back(slot)
    assert hands.take_from(0) == []
    assert hand.keep(5000) > 0


def test_numbers_that_cross_a_boundary_are_not_found(hands):
    Hand(hands, 0).hold(0x0000000100000002)
    assert not hands.is_held(1)
    assert not hands.is_suspect(0x0000000100000002)


def test_a_resent_request_is_left_to_who_has_it_and_a_suspect_to_the_supervisor(hands, suspects):
    mine, other = Hand(hands, 0), Hand(hands, 1)
    resent = Resent(hands, mine, suspects.pass_on)
    other.keep(10)
    assert resent.is_for_others(10 | RESENT, request(10 | RESENT))
    assert not resent.is_for_others(12 | RESENT, request(12 | RESENT))
    suspects.worker_died(1)
    assert resent.is_for_others(10 | RESENT, request(10 | RESENT))
    assert not resent.is_for_others(12 | RESENT, request(12 | RESENT))
    assert [bytes(suspect.request) for suspect in suspects.to_try()] == [bytes(request(10 | RESENT))]


def test_an_innocent_request_is_acquitted(hands, suspects):
    Hand(hands, 0).hold(10)
    suspects.worker_died(0)
    suspects.pass_on(request(10 | RESENT))
    (suspect,) = suspects.to_try()
    suspects.started(100, suspect)
    assert hands.is_suspect(10)
    assert suspects.ended(100, 0)
    assert not hands.is_suspect(10)
    assert suspects.to_try() == []
    assert not suspects.ended(101, 0), "that was none of these"


def test_one_that_comes_again_is_answered_again(suspects):
    """It was in the kernel's queue when it was answered, perhaps."""
    suspects.pass_on(request(10 | RESENT))
    (suspect,) = suspects.to_try()
    suspects.started(100, suspect)
    suspects.pass_on(request(10 | RESENT))
    assert suspects.to_try() == []
    suspects.ended(100, 0)
    assert suspects.to_try() == [suspect]


def test_a_request_that_kills_three_processes_gets_eio(hands, suspects, kernel, poisoned, caplog):
    Hand(hands, 0).hold(10)
    suspects.worker_died(0)
    suspects.pass_on(request(10 | RESENT))
    for pid in (100, 101, 102):
        (suspect,) = suspects.to_try()
        suspects.started(pid, suspect)
        suspects.ended(pid, -11)
    assert suspects.to_try() == []
    replies = [struct.unpack("<IiQ", kernel[0].recv(100)) for _ in range(2)]
    assert replies == [(16, -errno.EIO, 10), (16, -errno.EIO, 10 | RESENT)]
    assert poisoned == [1]
    assert "on inode 7 has killed 3 processes" in caplog.text
    assert not hands.is_suspect(10)


def test_only_some_are_tried_at_once(suspects):
    for unique in range(2, 102, 2):
        suspects.pass_on(request(unique | RESENT))
    tried = suspects.to_try()
    for pid, suspect in enumerate(tried, 100):
        suspects.started(pid, suspect)
    assert 0 < len(tried) < 50
    assert suspects.to_try() == [] and suspects.socket() is None
    suspects.ended(100, 0)
    assert len(suspects.to_try()) == 1
