"""The cache on the node: what is in it, who uses it, and what goes wrong with it."""

import fcntl
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
import time

import pytest

from ffrfs.archive.opening import load_records
from ffrfs.archive.reader import FileReader, RecordReader
from ffrfs.archive.shards import Shards
from ffrfs.cache import entry as entry_module
from ffrfs.cache.entry import BLOCK_BYTES, Entry, EntryFacts
from ffrfs.cache.folder import CacheFolder
from ffrfs.cache.options import CacheOptions, cache_from_environment
from ffrfs.cache.source import CachedSource, cached
from ffrfs.errors import ChangedError, ChecksumError, ConfigError
from ffrfs.sources.local_file import LocalFile
from ffrfs.sources.opening import open_source
from ffrfs.sources.source import Source
from tests.support.archives import archive_of
from tests.support.object_server import object_server
from tests.support.processes import wait_until

RECORDS = [os.urandom(300_000) for _ in range(20)]
CONTENT = archive_of(RECORDS)
OTHER = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
BLOCKS = -(-len(CONTENT) // BLOCK_BYTES)


class Counting(Source):
    """A source that counts what is read from it. Attributes: reads, as (offset, length)."""

    def __init__(self, path):
        self.inner, self.reads = LocalFile(path), []
        self.name, self.place, self.identity, self.mode = path, path, self.inner.identity, 0o400
        self.size_bytes, self.mtime_ns, self.tag_ns = self.inner.size_bytes, 0, 0

    def read_into(self, offset_bytes, buffer):
        self.reads.append((offset_bytes, len(buffer)))
        time.sleep(0.005)
        self.inner.read_into(offset_bytes, buffer)

    def close(self):
        self.inner.close()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.ffr"
    path.write_bytes(CONTENT)
    return os.fspath(path)


@pytest.fixture
def options(tmp_path):
    return CacheOptions(os.fspath(tmp_path / "cache"), 1 << 30)


@pytest.fixture
def source(path, options):
    source = Counting(path)
    with_cache = cached(source, options)
    assert isinstance(with_cache, CachedSource)
    yield with_cache
    with_cache.close()


def read(source, offset=0, length=None):
    buffer = bytearray(len(CONTENT) if length is None else length)
    source.read_into(offset, buffer)
    return bytes(buffer)


def counted(source):
    """What was read from what is behind a cache."""
    return source._source.reads


@pytest.mark.semantics("cache")
def test_each_block_is_fetched_once_and_kept(source, path, options):
    assert read(source, 1_500_000, 10) == CONTENT[1_500_000:1_500_010]
    assert counted(source) == [(BLOCK_BYTES, BLOCK_BYTES)]
    assert read(source) == CONTENT
    assert read(source) == CONTENT
    assert sum(length for _, length in counted(source)) == len(CONTENT)
    again = cached(Counting(path), options)
    assert read(again) == CONTENT
    assert counted(again) == []


def test_what_is_there_is_read_without_waiting_and_a_hole_is_not_zeros(source):
    buffer = bytearray(1000)
    with pytest.raises(BlockingIOError):
        source.read_near(0, [buffer])
    read(source, 0, 10)
    try:
        assert source.read_near(0, [buffer]) == 1000
        assert buffer == CONTENT[:1000]
    except BlockingIOError:
        pytest.fail("it was written this moment, so it is in memory")
    except OSError:
        pytest.skip("the file system of the temporary folder cannot tell what is cached")


@pytest.mark.semantics("cache-shared")
def test_threads_fetch_each_block_once(source):
    results = []
    threads = [threading.Thread(target=lambda: results.append(read(source))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 8
    assert sum(length for _, length in counted(source)) == len(CONTENT)


@pytest.mark.semantics("cache-shared")
def test_processes_fetch_each_block_once(source, path, options, tmp_path):
    def child(number):
        own = source if number % 2 else cached(Counting(path), options)  # inherited, and opened here
        good = read(own) == CONTENT
        (tmp_path / f"read-{number}").write_text(str(sum(length for _, length in counted(own))))
        os._exit(not good)

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=child, args=(number,)) for number in range(4)]
    for process in children:
        process.start()
    for process in children:
        process.join(60)
    assert [process.exitcode for process in children] == [0] * 4
    assert sum(int((tmp_path / f"read-{number}").read_text()) for number in range(4)) == len(CONTENT)


@pytest.mark.semantics("cache-killed")
def test_a_process_that_is_killed_while_it_fetches_stops_nobody(source, path, options):
    ready, write = os.pipe()
    child = os.fork()
    if child == 0:
        with source._entry.fetching(0, BLOCKS):
            os.write(write, b"x")
            time.sleep(100)
        os._exit(1)
    os.read(ready, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert read(source) == CONTENT
    assert all(source._entry.generations(0, BLOCKS))  # so the lock was free
    os.close(ready)
    os.close(write)


def test_a_child_that_is_forked_while_the_folder_is_locked_keeps_no_lock(source, options):
    folder = CacheFolder(options)
    child = 0

    def write():
        nonlocal child
        child = os.fork()
        if child == 0:
            time.sleep(100)

    assert folder.store(1, write)
    try:
        assert folder.store(1, lambda: None)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_process_that_is_stopped_while_it_fetches_is_not_waited_for(source, monkeypatch):
    monkeypatch.setattr(entry_module, "_LOCK_SECONDS", 0.1)
    stopped = Entry(source._entry.base, source._entry.facts)
    with stopped.fetching(0, BLOCKS):
        assert read(source) == CONTENT
    stopped.close()


@pytest.mark.semantics("cache-full")
def test_a_full_cache_keeps_what_it_has_and_the_rest_is_read_past_it(path, tmp_path):
    limit = 3 * BLOCK_BYTES + 100_000
    options = CacheOptions(os.fspath(tmp_path / "cache"), limit)
    source = cached(Counting(path), options)
    for offset in (*range(0, len(CONTENT) - 1000, 100_000),) * 2:
        assert read(source, offset, 1000) == CONTENT[offset : offset + 1000]
    held = sum(entry.held_bytes for entry in CacheFolder(options).entries())
    assert 2 * BLOCK_BYTES < held <= limit
    before = len(counted(source))
    assert read(source, 0, 1000) == CONTENT[:1000]
    assert len(counted(source)) == before
    source.close()


@pytest.mark.semantics("cache-full")
def test_entries_that_nobody_uses_go_first_and_those_in_use_never(path, tmp_path):
    options = CacheOptions(os.fspath(tmp_path / "cache"), len(CONTENT) + 2 * BLOCK_BYTES)
    old = cached(Counting(path), options)
    read(old)
    other = tmp_path / "y.ffr"
    other.write_bytes(CONTENT)
    new = cached(Counting(os.fspath(other)), options)
    assert read(new) == CONTENT
    assert read(old) == CONTENT and sum(length for _, length in counted(old)) == len(CONTENT)
    old.close()
    new._full_until = 0
    assert read(new) == CONTENT
    assert [entry.facts.name for entry in CacheFolder(options).entries()] == [os.fspath(other)]
    new.close()


@pytest.mark.semantics("cache-full")
def test_a_disk_that_is_full_is_read_past(path, small_disk):
    source = cached(Counting(path), CacheOptions(os.fspath(small_disk / "cache"), 1 << 30))
    big = small_disk / "big"
    big.write_bytes(bytes(5 << 20))
    assert read(source) == CONTENT
    assert read(source) == CONTENT
    source.close()
    big.unlink()


@pytest.mark.semantics("cache-damaged")
def test_damage_in_the_cache_is_fetched_anew_once(path, options):
    shards = Shards(path, cache=options)
    reader = FileReader(path)
    reader._shards, reader._reader.shards = shards, shards
    reader.read(range(20))
    [data] = [entry.base + ".data" for entry in CacheFolder(options).entries()]
    with open(data, "r+b") as file:
        file.seek(len(CONTENT) - 1_000_000)
        file.write(bytes(600_000))
    assert [record.tobytes() for record in reader.read(range(20))] == RECORDS
    assert b"".join(reader.read_one(record).tobytes() for record in range(20)) == b"".join(RECORDS)
    with open(path, "rb") as file:
        assert file.read() == CONTENT
    shards.close()


@pytest.mark.semantics("cache-damaged")
def test_damage_in_the_archive_is_an_error_all_the_same(tmp_path, options):
    damaged = bytearray(CONTENT)
    damaged[-10] ^= 1
    path = tmp_path / "damaged.ffr"
    path.write_bytes(damaged)
    shards = Shards(path, cache=options)
    reader = FileReader(path)
    reader._shards, reader._reader.shards = shards, shards
    for _ in range(2):
        with pytest.raises(ChecksumError):
            reader.read_one(19)
    shards.close()


def test_announced_records_are_fetched_ahead(path, options):
    shards = Shards(path, cache=options)
    reader = RecordReader(shards, load_records(shards))
    reader.prefetch(range(20))
    [source] = shards.sources
    wait_until(lambda: all(source._entry.generations(0, BLOCKS)), "all blocks are there")
    reader.close()
    shards.close()


@pytest.mark.semantics("cache-boot")
def test_after_a_boot_only_what_was_made_durable_is_believed(path, options, monkeypatch):
    source = cached(Counting(path), options)
    read(source, 0, 2 * BLOCK_BYTES)
    source._entry.sync()
    read(source, 2 * BLOCK_BYTES, 2 * BLOCK_BYTES)
    monkeypatch.setattr(source._entry, "sync", lambda: None)  # power is lost
    source.close()
    monkeypatch.setattr(entry_module, "_boot_id", lambda: "another boot")
    source = cached(Counting(path), options)
    assert set(source._entry.generations(0, 2)) == {1}
    assert not any(source._entry.generations(2, BLOCKS))
    assert read(source) == CONTENT
    source.close()


@pytest.mark.semantics("cache-fails")
def test_a_cache_that_is_removed_while_in_use(source, path, options):
    read(source, 0, 10)
    shutil.rmtree(options.folder)
    assert read(source) == CONTENT
    again = cached(Counting(path), options)
    assert read(again) == CONTENT
    again.close()


@pytest.mark.semantics("cache-fails")
@pytest.mark.parametrize("ending", [".data", ".map"])
@pytest.mark.parametrize("change", ["remove", "empty", "garbage"])
def test_files_of_the_cache_that_are_wrong(path, options, ending, change):
    source = cached(Counting(path), options)
    assert read(source) == CONTENT
    source.close()
    [base] = [entry.base for entry in CacheFolder(options).entries()]
    if change == "remove":
        os.unlink(base + ending)
    else:
        with open(base + ending, "wb") as file:
            file.write(b"garbage" * 1000 if change == "garbage" else b"")
    source = cached(Counting(path), options)
    assert read(source) == CONTENT
    source.close()


@pytest.mark.semantics("cache-fails")
def test_a_place_where_no_cache_can_be(path, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    source = cached(LocalFile(path), CacheOptions(os.fspath(tmp_path / "file"), 1 << 30))
    assert isinstance(source, LocalFile)
    assert "is not used" in caplog.text


def test_a_folder_that_others_can_write_to_is_refused(path, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="mode 0700"):
        cached(LocalFile(path), CacheOptions(os.fspath(folder), 1 << 30))


@pytest.mark.semantics("cache")
def test_another_version_has_an_entry_of_its_own(tmp_path, options):
    with object_server() as server:
        name = server.put("/x.ffr", CONTENT)
        old = cached(open_source(name), options)
        read(old, 0, 10)
        server.put("/x.ffr", OTHER)
        with pytest.raises(ChangedError):
            read(old, 3 * BLOCK_BYTES, 10)
        new = cached(open_source(name), options)
        assert read(new) == OTHER
        assert len(list(CacheFolder(options).entries())) == 2
        old.close()
        new.close()


def test_what_a_file_has_got_by_being_written_to_is_not_kept(path, options):
    source = cached(LocalFile(path), options)
    with open(path, "r+b") as file:
        file.write(b"x")
    read(source)
    assert not any(source._entry.generations(0, BLOCKS))
    source.close()


def test_pickling(source, options, path):
    plain = cached(LocalFile(path), options)
    copy = pickle.loads(pickle.dumps(plain))
    assert isinstance(copy, CachedSource) and read(copy) == CONTENT
    plain.close()
    copy.close()


def test_two_who_make_an_entry_at_once(tmp_path):
    facts = EntryFacts("x", "x", 10 * BLOCK_BYTES)
    entries = []
    threads = [threading.Thread(target=lambda: entries.append(Entry(f"{tmp_path}/e", facts))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries[0].write(3, memoryview(bytes(BLOCK_BYTES)))
    assert all(entry.generations(3, 4) == b"\1" for entry in entries)
    for entry in entries:
        entry.close()


def test_an_entry_that_is_being_removed_is_made_anew(tmp_path):
    facts = EntryFacts("x", "x", 10 * BLOCK_BYTES)
    Entry(f"{tmp_path}/e", facts).close()
    fd = os.open(f"{tmp_path}/e.map", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    entries = []
    thread = threading.Thread(target=lambda: entries.append(Entry(f"{tmp_path}/e", facts)))
    thread.start()
    time.sleep(0.1)
    os.unlink(f"{tmp_path}/e.map")
    os.close(fd)
    thread.join()
    assert json.loads((tmp_path / "e.map").read_bytes()[:4096].rstrip(b"\0"))["size"] == facts.size_bytes
    entries[0].close()


def test_the_environment(monkeypatch, tmp_path, path):
    monkeypatch.delenv("FFRFS_CACHE", raising=False)
    assert cache_from_environment() is None
    monkeypatch.setenv("FFRFS_CACHE", os.fspath(tmp_path / "cache"))
    monkeypatch.setenv("FFRFS_CACHE_SIZE", "2T")
    found = cache_from_environment()
    assert found == CacheOptions(os.fspath(tmp_path / "cache"), 2 << 40, forced=False)
    assert isinstance(cached(LocalFile(path), found), LocalFile)  # which lies on the same disk
    monkeypatch.setenv("FFRFS_CACHE_SIZE", "much")
    with pytest.raises(ConfigError, match="FFRFS_CACHE_SIZE"):
        cache_from_environment()
