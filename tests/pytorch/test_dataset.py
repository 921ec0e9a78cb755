"""Batched data sets: what they give for a batch, put together and taken apart."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ffrfs import FileReader
from ffrfs.torch import ConcatDataset, Dataset, ReaderRegistry, Subset
from tests.pytorch.datasets import Numbers, Pairs


def test_a_batch_is_its_samples_in_the_order_asked_for(records: Path) -> None:
    dataset = Numbers(records)
    assert len(dataset) == 100
    assert dataset[[7, 3, 7]] == dataset.__getitems__((7, 3, 7)) == [7, 3, 7]


@pytest.mark.parametrize("index", [3, slice(3), np.arange(3)], ids=["int", "slice", "array"])
def test_a_data_set_is_asked_for_lists(records: Path, index: object) -> None:
    with pytest.raises(TypeError, match="takes a list of numbers"):
        Numbers(records)[index]


def test_process_is_the_users_to_write(records: Path) -> None:
    with pytest.raises(NotImplementedError, match="Dataset has neither process nor __getitem__"):
        Dataset(records)[[1]]


def test_data_sets_one_behind_the_other(records: Path) -> None:
    first, second = Numbers(records), Subset(Numbers(records), np.array([50, 40, 30]))
    for joined in (first + second, ConcatDataset(iter([first, second])), ConcatDataset([first]) + second):
        assert len(joined) == 103
        assert joined[[101, 5, 100, 5, -1, 101]] == [40, 5, 50, 5, 30, 40]
        with pytest.raises(IndexError, match="sample 103 is outside"):
            joined[[0, 103]]


def test_what_cannot_be_put_one_behind_the_other() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ConcatDataset([])
    with pytest.raises(TypeError, match="list is asked for single samples"):
        ConcatDataset([[1, 2]])


class Registry(ReaderRegistry):
    def __init__(self, path: Path) -> None:
        self.first, self.second = FileReader(path), FileReader(path)


class Nested(Dataset):
    def __init__(self, path: Path) -> None:
        self.other = Registry(path)
        self.reader1, self.reader2, self.size = FileReader(path), FileReader(path), 3

    def __len__(self) -> int:
        return self.size


def test_the_readers_of_a_data_set_are_found_wherever_they_are(records: Path) -> None:
    nested = Nested(records)
    expected = [nested.reader1, nested.reader2, nested.other.first, nested.other.second]
    assert nested.ffreaders() == expected
    assert Subset(nested, [1]).ffreaders() == ConcatDataset([nested]).ffreaders() == expected
    del nested.reader1
    assert nested.ffreaders() == expected[1:]
    assert not hasattr(nested, "reader1")


def test_data_sets_pickle(records: Path) -> None:
    dataset = pickle.loads(pickle.dumps(Numbers(records) + Subset(Numbers(records), [4])))
    assert dataset[[100, 2]] == [4, 2]


def test_what_is_read_ahead_is_the_records_of_the_samples(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(FileReader, "prefetch", lambda self, numbers: asked.extend(numbers))
    (Subset(Numbers(records), [9, 8, 7]) + Pairs(str(records))).prefetch([3, 0, 2, 5])
    assert asked == [9, 7, 0, 2]
    Nested(records).prefetch([0])  # of two readers nobody knows which
    assert len(asked) == 4
