"""Batches of records: merged into few reads, and never overwritten while somebody holds a part of one."""

import os
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ffrfs import FileReader
from ffrfs.format.header import crc32
from ffrfs.format.records import EXTENT_BYTES, GAP_BYTES, Records
from tests.support.archives import archive_of

CONTENTS = [random.Random(number).randbytes(number * 97 % 5000) for number in range(400)]


@pytest.fixture
def reader(tmp_path):
    archive = tmp_path / "a.ffr"
    archive.write_bytes(archive_of(CONTENTS))
    with FileReader(archive) as reader:
        yield reader


def records_of(*shards):
    """The record list of shards with records at these (offset, length)."""
    extents = np.array([extent for shard in shards for extent in shard], np.int64).reshape(-1, 2)
    first = np.cumsum([0, *map(len, shards)])
    return Records(extents[:, 0].copy(), extents[:, 1].copy(), np.zeros(len(extents), np.uint32), first)


def test_records_are_merged_over_small_holes_only():
    records = records_of([(0, 10), (10, 5), (15 + GAP_BYTES, 5), (21 + 2 * GAP_BYTES, 7)])
    assert records.merge([3, 0, 2, 1]) == [
        ((0, 0, 20 + GAP_BYTES), [0, 1, 2]),
        ((0, 21 + 2 * GAP_BYTES, 7), [3]),
    ]
    assert records.merge([]) == []


def test_records_of_two_shards_are_two_reads():
    records = records_of([(100, 10)], [(110, 10), (120, 0)])
    assert records.merge(range(3)) == [((0, 100, 10), [0]), ((1, 110, 10), [1, 2])]


def test_an_extent_ends_once_it_is_large():
    size = EXTENT_BYTES // 4
    merged = records_of([(number * size, size) for number in range(10)]).merge(range(10))
    assert [group for _, group in merged] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [extent.length_bytes for extent, _ in merged] == [4 * size, 4 * size, 2 * size]


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_is_its_records_in_the_order_asked_for(reader, seed):
    wanted = random.Random(seed).choices(range(len(CONTENTS)), k=100)  # some of them twice
    assert [data.tobytes() for data in reader.read(wanted)] == [CONTENTS[record] for record in wanted]


def test_a_batch_stays_while_a_part_of_it_is_held(reader):
    held = []
    for seed in range(20):
        wanted = random.Random(seed).sample(range(1, len(CONTENTS)), 60)
        batch = reader.read(wanted)
        # A record, a view of one and a buffer of another: each must keep the memory of the whole batch.
        for part, record in ((batch[0], wanted[0]), (batch[1][10:], wanted[1]), (memoryview(batch[2]), wanted[2])):
            held.append((part, CONTENTS[record][10:] if record == wanted[1] else CONTENTS[record]))
    del batch
    assert [bytes(part) for part, _ in held] == [content for _, content in held]


@pytest.fixture
def photos(tmp_path):
    """A reader of 16 records large enough for their memory to be used again, and their contents."""
    contents = [random.Random(number).randbytes(70_000 + 1000 * number) for number in range(16)]
    archive = tmp_path / "photos.ffr"
    archive.write_bytes(archive_of(contents))
    with FileReader(archive) as reader:
        yield reader, contents


def test_the_memory_of_records_that_are_gone_is_used_again(photos):
    reader, _ = photos
    places = set()
    for _ in range(20):
        batch = reader.read(range(16))
        places.update(data.ctypes.data for data in batch)
        del batch
    assert len(places) <= 32


def test_the_memory_of_a_record_is_its_own_while_somebody_holds_a_part_of_it(photos):
    reader, contents = photos
    held = []
    for number in range(32):
        data = reader.read(range(16))[number % 16] if number % 2 else reader.read_one(number % 16)
        held.append((data, data[10:], memoryview(data), np.frombuffer(data, np.uint8))[number % 4])
        del data
    for number, part in enumerate(held):
        assert bytes(part) == contents[number % 16][10 if number % 4 == 1 else 0 :]


def test_a_record_that_is_kept_keeps_no_other(tmp_path):
    archive = tmp_path / "large.ffr"
    size = 200_000
    archive.write_bytes(archive_of([bytes(size)] * 64))
    with FileReader(archive) as reader:
        tracemalloc.start()
        kept = [reader.read(range(64))[0] for _ in range(10)]
        reader.close()
        kept_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(kept) * size <= kept_bytes < 2 * len(kept) * size


@pytest.mark.parametrize("size", [1000, 2 * EXTENT_BYTES], ids=["small", "large"])
def test_what_is_in_no_page_cache_is_read_whole_or_if_very_large_in_place(tmp_path, size):
    contents = [b"first", bytes(30), bytes(range(250)) * (size // 250 + 1), b"last"]
    archive = tmp_path / "cold.ffr"
    archive.write_bytes(archive_of(contents))
    reads = []
    with FileReader(archive) as reader:
        shards, records = reader._shards, reader._records
        read_into, shards.read_into = shards.read_into, lambda *where: (reads.append(where), read_into(*where))
        results = {}
        (job,) = records.merge([0, 2])
        reader._reader._read_extent(job, results)
        del shards.read_into
    assert {record: data.tobytes() for record, data in results.items()} == {n: contents[n] for n in (0, 2)}
    assert len(reads) == (1 if size == 1000 else 2)


def test_records_asked_for_twice_share_no_memory(reader):
    first, second = reader.read([7, 7])
    first[:] = 0
    assert second.tobytes() == CONTENTS[7]


def test_more_small_records_than_one_read_has_buffers(tmp_path):
    contents = [b"%d" % number for number in range(5000)]
    archive = tmp_path / "small.ffr"
    archive.write_bytes(archive_of(contents))
    with FileReader(archive) as reader:
        assert [data.tobytes() for data in reader.read(range(5000))] == contents
        assert [data.tobytes() for data in reader.read(range(0, 5000, 2))] == contents[::2]


def test_threads_get_batches_of_their_own(reader):
    def read(seed):
        numbers = random.Random(seed)
        for _ in range(50):
            wanted = numbers.sample(range(len(CONTENTS)), 40)
            batch = reader.read(wanted)
            os.sched_yield()
            for data, record in zip(batch, wanted, strict=True):
                assert crc32(data) == crc32(CONTENTS[record])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [None] * 8


def test_records_can_be_written_to(reader):
    reader.read_one(7)[:] = 0
    reader.read([7])[0][:] = 0
    assert reader.read_one(7).tobytes() == reader.read([7])[0].tobytes() == CONTENTS[7]
