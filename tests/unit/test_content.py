"""What a mount reads of an archive: every byte checked, large records by the chunk, also when the archive changes."""

import os
import threading
import time

import numpy as np
import pytest

from ffrfs.archive.index_file import find_index_file, save_index_file
from ffrfs.archive.opening import build
from ffrfs.archive.shards import Shards
from ffrfs.errors import ArchiveError, ChecksumError
from ffrfs.format.chunks import CHUNK_BYTES, Chunks, chunk_checksums, combine_chunks
from ffrfs.format.header import crc32
from ffrfs.format.index import ROOT_INODE, build_index
from ffrfs.format.tree import Tree
from ffrfs.fs import chunkstate
from ffrfs.fs.changes import ChangeWatch
from ffrfs.fs.content import Content
from ffrfs.fs.state import SharedState
from tests.support.archives import write_archive

LARGE = np.random.default_rng(1).bytes(5 * CHUNK_BYTES + 12345)
SMALL = np.random.default_rng(2).bytes(30_000)
TREE = {b"large": LARGE, b"small": SMALL}
PLACES = [(0, 4096), (CHUNK_BYTES - 10, 20), (3 * CHUNK_BYTES, CHUNK_BYTES), (2 * CHUNK_BYTES + 7, CHUNK_BYTES),
          (len(LARGE) - 5000, 1 << 17), (len(LARGE), 10)]  # fmt: skip


class Mounted:
    """An archive as a mount has it open, without the mount."""

    def __init__(self, archive, chunks):
        self.archive = archive
        self.shards = Shards(archive)
        self.index = build(self.shards)
        if chunks:
            sums = np.array(chunk_checksums(LARGE), np.uint32)
            self.index = self.index.with_chunks(sums, np.ones(1, np.uint8))
        state = SharedState(1, len(self.index.records), len(self.index))
        self.content = Content(self.shards, self.index, state, ChangeWatch(self.shards))
        self.large, self.small = (self.index.lookup(ROOT_INODE, name) for name in (b"large", b"small"))

    def place(self, inode):
        """Where in the archive a file begins."""
        return self.index.records.extent(self.index.record(inode)).offset_bytes

    def write(self, at, data, keep_mtime=False):
        """Write into the archive."""
        status = os.stat(self.archive)
        with open(self.archive, "r+b") as file:
            os.pwrite(file.fileno(), data, at)
        if keep_mtime:
            os.utime(self.archive, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Opens the archive of the tree as a mount does; `chunks` says whether its index has the chunks' checksums."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    opened = []

    def open_archive(chunks=True, tree=TREE):
        opened.append(Mounted(write_archive(tmp_path / "a.ffr", tree), chunks))
        time.sleep(0.02)  # so that the next write has another time stamp
        return opened[-1]

    yield open_archive
    for one in opened:
        one.shards.close()


@pytest.mark.parametrize("chunks", [True, False])
@pytest.mark.parametrize("way", ["read", "read_cached"])
def test_parts_of_files(mounted, chunks, way):
    one = mounted(chunks)
    if way == "read_cached" and not chunks:
        assert one.content.read_cached(one.large, 0, 10) is None
        one.content.read(one.large, 0, 1)
    for _ in range(2):
        for offset, size in PLACES:
            assert bytes(getattr(one.content, way)(one.large, offset, size)) == LARGE[offset : offset + size]
            assert (
                bytes(getattr(one.content, way)(one.small, offset % 30_000, size))[:30_000]
                == (SMALL[offset % 30_000 :][:size])
            )


def test_a_read_costs_its_chunk_and_nothing_the_second_time(mounted, monkeypatch):
    one = mounted()
    read = []
    monkeypatch.setattr(one.shards, "read", lambda *extent: read.append(extent[2]) or Shards.read(one.shards, *extent))
    for _ in range(2):
        one.content.read(one.large, 2 * CHUNK_BYTES + 5, 100)
    assert read == [CHUNK_BYTES, 100]


def test_a_damaged_chunk_is_an_error_where_it_is_read(mounted):
    one = mounted()
    one.write(one.place(one.large) + 3 * CHUNK_BYTES + 5, b"damage")
    one = Mounted(one.archive, chunks=True)
    for _ in range(2):
        for way in (one.content.read, one.content.read_cached):
            assert bytes(way(one.large, 0, 100)) == LARGE[:100]
        with pytest.raises(ChecksumError, match="large"):
            one.content.read(one.large, 3 * CHUNK_BYTES + 100_000, 100)
        assert one.content.read_cached(one.large, 3 * CHUNK_BYTES + 100_000, 100) is None


def test_without_chunks_a_damaged_file_is_an_error_everywhere(mounted):
    one = mounted(chunks=False)
    one.write(one.place(one.large) + 3 * CHUNK_BYTES + 5, b"damage")
    one = Mounted(one.archive, chunks=False)
    for _ in range(2):
        with pytest.raises(ChecksumError, match="large"):
            one.content.read(one.large, 0, 100)
    assert not one.content.defer(one.large, pytest.fail)


def test_the_first_check_is_one_for_all_and_holds_no_reader_that_can_wait(mounted, monkeypatch):
    one = mounted(chunks=False)
    go, read = threading.Event(), []

    def read_into(shard, offset, buffer):
        go.wait()
        read.append(len(buffer))
        Shards.read_into(one.shards, shard, offset, buffer)

    monkeypatch.setattr(one.shards, "read_into", read_into)
    assert not one.content.defer(one.small, pytest.fail)
    resumed = [threading.Event() for _ in range(50)]
    for event in resumed:
        assert one.content.defer(one.large, event.set)
    assert bytes(one.content.read_cached(one.small, 0, 100)) == SMALL[:100]
    assert not any(event.is_set() for event in resumed)
    go.set()
    assert all(event.wait(30) for event in resumed)
    assert sum(read) == len(LARGE)
    assert bytes(one.content.read_cached(one.large, 5, 100)) == LARGE[5:105]


def test_another_process_that_died_while_it_checked_is_not_waited_for(mounted, monkeypatch):
    monkeypatch.setattr(chunkstate, "_STALLED_SECONDS", 0.1)
    one = mounted(chunks=False)
    one.content._chunks.progressed(0)
    assert bytes(one.content.read(one.large, 5, 100)) == LARGE[5:105]


@pytest.mark.semantics("changed-in-place")
@pytest.mark.parametrize("keep_mtime", [False, True], ids=["new-mtime", "same-mtime"])
@pytest.mark.parametrize("chunks", [True, False], ids=["chunks", "no-chunks"])
def test_what_was_checked_before_a_write_is_not_believed(mounted, chunks, keep_mtime):
    one = mounted(chunks)
    for inode in (one.large, one.small):
        one.content.read(inode, 0, 100)
    one.write(one.place(one.large) + 10, b"other", keep_mtime)
    one.write(one.place(one.small) + 10, b"other", keep_mtime)
    for inode in (one.large, one.small):
        with pytest.raises(ArchiveError):
            one.content.read(inode, 0, 100)
    assert one.content.read_cached(one.large, 0, 100) is None
    with pytest.raises(ChecksumError):
        one.content.read_cached(one.small, 0, 100)
    one.write(one.place(one.large) + 10, LARGE[10:15], keep_mtime)
    one.write(one.place(one.small) + 10, SMALL[10:15], keep_mtime)
    assert bytes(one.content.read(one.large, 0, 100)) == LARGE[:100]
    assert bytes(one.content.read(one.small, 0, 100)) == SMALL[:100]


@pytest.mark.semantics("changed-in-place")
@pytest.mark.parametrize("way", ["read", "read_cached"])
def test_a_write_whose_data_comes_after_its_time_stamp(mounted, way):
    """The kernel sets the times when a write begins; what is checked until the data comes is right, and then not."""
    one = mounted()
    read = getattr(one.content, way)
    read(one.small, 0, 100)
    status = os.stat(one.archive)
    os.utime(one.archive, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert bytes(one.content.read(one.small, 0, 100)) == SMALL[:100]
    assert bytes(read(one.large, 0, 100)) == LARGE[:100]
    after = one.content._changes.version(0)
    one.write(one.place(one.small) + 10, b"other")
    one.write(one.place(one.large) + 10, b"other")
    one.content._changes._version = lambda shard: after  # as if all of that had been one write
    with pytest.raises(ChecksumError):
        read(one.small, 0, 100)
    if way == "read":
        with pytest.raises(ChecksumError):
            one.content.read(one.large, 0, 100)
    else:
        assert one.content.read_cached(one.large, 0, 100) is None


def test_a_prefetched_record_is_checked_again_after_a_change(mounted):
    one = mounted()
    record = one.index.record(one.small)
    version = one.content.version(0)
    assert one.content.accept(one.small, record, memoryview(SMALL), version)
    one.write(one.place(one.small) + 10, b"other")
    with pytest.raises(ChecksumError):
        one.content.accept(one.small, record, memoryview(b"x" * len(SMALL)), version)
    assert one.content.accept(one.small, record, memoryview(SMALL), version)
    assert one.content.accept(one.large, one.index.record(one.large), memoryview(LARGE), version)


@pytest.fixture
def kept_at_once(monkeypatch):
    """What was learnt is written at once."""
    monkeypatch.setattr(chunkstate, "KEEP_CHUNKS", 6)
    monkeypatch.setattr(chunkstate, "_KEEP_SECONDS", 0)


def learn(one):
    """Have a mount learn the chunks of the large file, and wait until they are kept, if they are."""
    one.content.read(one.large, 0, 1)
    keeper = one.content._chunks._keeper
    if keeper is not None:
        keeper.join(30)


@pytest.mark.parametrize("kept_before", [False, True])
def test_what_a_first_check_learnt_is_kept_in_the_index(mounted, kept_at_once, kept_before):
    one = mounted(chunks=False)
    if kept_before:
        save_index_file(one.index, one.shards)
    learn(one)
    found = find_index_file(one.shards)
    assert found is not None
    assert found[1].arrays["chunks_known"].tolist() == [1]
    assert found[1].arrays["chunk_checksums"].tolist() == chunk_checksums(LARGE)


def test_a_view_does_not_become_the_index_of_its_archive(mounted, kept_at_once):
    one = mounted(chunks=False)
    records = np.array([one.index.record(one.large)], np.int32)
    only_large = Tree(np.zeros(1, np.int32), np.frombuffer(b"large", np.uint8), np.zeros(1, np.int64),
                      np.array([5], np.int32), records, 1)  # fmt: skip
    view = build_index("view", only_large, one.index.records)
    state = SharedState(1, len(view.records), len(view))
    one.content = Content(one.shards, view, state, ChangeWatch(one.shards))
    one.large = view.lookup(ROOT_INODE, b"large")
    learn(one)
    found = find_index_file(one.shards)
    assert found is not None and found[1].files == 2
    assert found[1].arrays["chunks_known"].tolist() == [1]


def test_an_index_of_several_has_their_chunks(mounted):
    one = mounted()
    none_known = one.index.with_chunks(np.zeros(0, np.uint32), np.zeros(0, np.uint8))
    assert none_known.with_chunks_of([none_known, none_known]) is none_known
    both = one.index.with_chunks_of([none_known, one.index])
    assert both.arrays["chunks_known"].tolist() == [0, 1]
    assert both.arrays["chunk_checksums"].tolist() == [0] * len(one.index.chunks) + chunk_checksums(LARGE)


def test_an_index_whose_chunks_are_not_the_record_is_refused(mounted):
    one = mounted()
    sums = one.index.arrays["chunk_checksums"].copy()
    sums[1] ^= 1
    save_index_file(one.index.with_chunks(sums, np.ones(1, np.uint8)), one.shards)
    assert find_index_file(one.shards) is None


def test_checksums_of_chunks_make_that_of_the_record():
    numbers = np.random.default_rng(3)
    sizes = [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 9 * CHUNK_BYTES - 1, 3 * CHUNK_BYTES + 77]
    records = [numbers.bytes(size) for size in sizes]
    chunks = Chunks(np.array(sizes, np.int64))
    assert chunks.large.tolist() == [3, 4, 5, 6]
    sums = np.array([sum for record in records[3:] for sum in chunk_checksums(record)], np.uint32)
    assert chunks.combined(sums).tolist() == [crc32(record) for record in records[3:]]
    for record in records:
        assert combine_chunks(chunk_checksums(record), len(record)) == crc32(record)
    assert [chunks.find(record) for record in range(7)] == [-1, -1, -1, 0, 1, 2, 3]
