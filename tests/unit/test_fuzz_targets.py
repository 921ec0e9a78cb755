"""The fuzzer's targets take what they should, and notice what they should not: here without the fuzzer."""

import random

import numpy as np
import pytest

from ffrfs.format import pickled
from ffrfs.format.index import Index
from ffrfs.format.validation import InvalidIndexError, check_arrays
from tests.data.make_corrupt import LYING, open_for_index, right_arrays
from tests.fuzz.targets import TARGETS, WORDS, Targets, check_index, seeds


@pytest.fixture
def targets():
    targets = Targets()
    yield targets
    targets.close()


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_every_seed_and_what_is_near_it(targets, name):
    numbers = random.Random(name)
    for seed in seeds(name):
        TARGETS[name](targets, seed)
        for _ in range(5):
            at = numbers.randrange(len(seed) + 1)
            word = numbers.choice([*WORDS[name], b"", bytes([numbers.randrange(256)])])
            TARGETS[name](targets, seed[:at] + word + seed[at + numbers.randrange(3) :])


def test_a_seed_gets_past_the_checksums(targets, monkeypatch):
    """Else the fuzzer would look at nothing but these."""
    data = targets.index_seed()
    reached = []

    def refuse(arrays, *archive):
        reached.append(arrays)
        raise InvalidIndexError

    monkeypatch.setattr("ffrfs.archive.index_file.check_arrays", refuse)
    name = data.index(b"profile")
    targets.index(data[:16] + b"sums" + data[20:name] + b"q" + data[name + 1 :])
    assert reached


def test_an_index_that_is_no_tree_is_noticed(targets, monkeypatch):
    monkeypatch.setattr("ffrfs.archive.index_file.check_arrays", lambda *arguments: None)
    with pytest.raises(AssertionError, match="not a valid name"):
        targets.index((LYING / "name-dot-dot.index").read_bytes())


def test_a_parser_that_reads_another_number_than_was_packed_is_noticed(targets, monkeypatch):
    monkeypatch.setattr("ffrfs.format.tree._records", lambda parser, values, n_records: values.clip(max=0))
    with pytest.raises(AssertionError, match="not the one that was pickled"):
        targets.tree(seeds("tree")[0])


def test_an_error_of_another_class_is_noticed(targets, monkeypatch):
    monkeypatch.setattr(pickled.PickledTree, "parse", lambda self: [][0])
    with pytest.raises(IndexError):
        targets.tree(seeds("tree")[0])


_CHANGES = 3000


def _changed(arrays, numbers):
    """The arrays with a few numbers changed, exchanged, left out or added."""
    arrays = dict(arrays)
    for _ in range(numbers.choice((1, 1, 2, 3, 4))):
        name = numbers.choice([name for name in arrays if len(arrays[name])])
        array = arrays[name] = arrays[name].copy()
        at, other = numbers.randrange(len(array)), numbers.randrange(len(array))
        limits = np.iinfo(array.dtype)
        how = numbers.randrange(4)
        if how == 0:
            array[at] = numbers.choice([limits.min, limits.max, *range(6)])
        elif how == 1:
            array[[at, other]] = array[[other, at]]
        elif how == 2:
            array[at] = min(max(int(array[at]) + numbers.choice((-2, -1, 1, 2)), limits.min), limits.max)
        else:
            arrays[name] = numbers.choice([array[:-1], np.append(array, array[at]), np.delete(array, at)])
    return arrays


def test_arrays_that_are_accepted_are_a_tree_whatever_was_changed_in_them(tmp_path):
    numbers = random.Random(1)
    shards = open_for_index(tmp_path)
    right = right_arrays(shards)
    of_archive = (shards.sizes, [shards.stamp(0).checksum])
    shards.close()
    check_arrays(right, *of_archive)
    for _ in range(_CHANGES):
        arrays = _changed(right, numbers)
        try:
            check_arrays(arrays, *of_archive)
        except InvalidIndexError:
            continue
        check_index(Index(arrays))
