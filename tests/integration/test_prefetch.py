"""Reading ahead: runs, hints, folders, and that none of them can hang a mount."""

import contextlib
import itertools
import json
import multiprocessing
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ffrfs import prefetch
from ffrfs.hints import encode_hints
from tests.support.archives import packed_folder
from tests.support.processes import cpu_ticks, wait_until

FILES = 400
SIZE_BYTES = 20_000


def content(number):
    return random.Random(number).randbytes(SIZE_BYTES + number)


TREE = {b"images": {b"%04d.jpg" % number: content(number) for number in range(FILES)}}


def counters(mounted):
    return json.loads((mounted.path / ".ffrfs" / "stats").read_text())["counters"]


def paths(mounted):
    return [mounted.path / "images" / f"{number:04d}.jpg" for number in range(FILES)]


def test_hinted_files_are_in_the_page_cache_before_they_are_read(mount):
    mounted = mount(TREE)
    shuffled = random.Random(1).sample(range(FILES), 100)
    files = [paths(mounted)[number] for number in shuffled]
    assert prefetch(files) == 100
    wait_until(lambda: counters(mounted)["prefetched"] == 100, "all hinted files have been fetched")
    before = counters(mounted)
    for number, path in zip(shuffled, files, strict=True):
        assert path.read_bytes() == content(number)
    after = counters(mounted)
    assert after["hints"] == 100
    assert after["reads"] - before["reads"] == before["prefetch_markers"], "no READ but those that tell of progress"
    assert after["reads"] - before["reads"] <= 1


def test_a_hint_twice_fetches_once_and_nonsense_is_harmless(mount):
    mounted = mount(TREE)
    files = paths(mounted)[:20]
    prefetch(files)
    wait_until(lambda: counters(mounted)["prefetched"] == 20, "the hinted files have been fetched")
    prefetch([*files, mounted.path / "images", mounted.path / "missing"])
    for name in (".ffrfs-next:", ".ffrfs-next:abc", ".ffrfs-next:" + "\x01" * 10, ".ffrfs-next:" + "\xff" * 100):
        assert not (mounted.path / name).exists()
    assert paths(mounted)[30].read_bytes() == content(30)
    assert counters(mounted)["prefetched"] == 20


def test_more_than_may_be_ahead_is_fetched_as_readers_go_on(mount):
    mounted = mount(TREE, "prefetch=2M")  # about a hundred of the files
    files = paths(mounted)
    assert prefetch(files) == FILES
    read_bytes = 0
    for number, path in enumerate(files):
        assert path.read_bytes() == content(number)
        read_bytes += len(content(number))
        ahead = counters(mounted)["prefetched_bytes"] - read_bytes
        assert ahead <= 3 << 20, f"{ahead} bytes ahead at file {number}"
    assert counters(mounted)["prefetched"] > FILES // 2


def test_a_run_is_read_ahead(mount):
    mounted = mount(TREE)
    for number, path in enumerate(paths(mounted)):
        assert path.read_bytes() == content(number)
    assert counters(mounted)["prefetch_windows"] > 0


def test_without_prefetching_hints_are_ordinary_missing_names(mount):
    mounted = mount(TREE, "prefetch=0")
    prefetch(paths(mounted)[:20])
    assert [path.read_bytes() for path in paths(mounted)[:20]] == [content(number) for number in range(20)]
    assert counters(mounted)["hints"] == 0


def test_statistics_are_hidden_complete_and_steady(mount):
    mounted = mount(TREE)
    assert os.listdir(mounted.path) == ["images"]
    assert os.listdir(mounted.path / ".ffrfs") == []
    stats = json.loads((mounted.path / ".ffrfs" / "stats").read_text())
    assert stats["files"] == FILES
    assert stats["archive"] == str(mounted.archive)
    metrics = (mounted.path / ".ffrfs" / "metrics").read_text()
    assert "# TYPE ffrfs_lookups_total counter" in metrics
    with pytest.raises(OSError, match="Read-only file system"):
        (mounted.path / ".ffrfs" / "stats").write_text("x")


def test_a_damaged_record_is_not_put_into_the_page_cache(mount, tmp_path):
    damaged = bytearray(packed_folder(TREE))
    at = damaged.index(content(7))
    damaged[at + 100] ^= 1
    archive = tmp_path / "damaged.ffr"
    archive.write_bytes(damaged)
    mounted = mount(archive)
    mounted.tolerated.append(r"0007\.jpg .*checksum")
    prefetch(paths(mounted)[:20])
    wait_until(lambda: counters(mounted)["prefetched"] == 19, "the sound files have been fetched")
    for number, path in enumerate(paths(mounted)[:20]):
        if number == 7:
            with pytest.raises(OSError, match="Input/output error"):
                path.read_bytes()
        else:
            assert path.read_bytes() == content(number)


def read_until(deadline, seed, files, failures):
    """Read files in one order and then another until the deadline; every byte is compared."""
    order = random.Random(seed)
    while time.monotonic() < deadline:
        number = order.randrange(len(files))
        with open(files[number], "rb") as file:
            begin = order.randrange(SIZE_BYTES) if order.random() < 0.5 else 0
            file.seek(begin)
            if file.read() != content(number)[begin:]:
                failures.put(number)
                return


def drop_caches(what):
    with contextlib.suppress(PermissionError):  # only root may
        Path("/proc/sys/vm/drop_caches").write_text(what)


@pytest.mark.parametrize(("options", "files"), [("prefetch=64M", 40), ("prefetch=64M", 3), ("prefetch=1M", 40)])
def test_prefetching_and_reading_the_same_files_never_hang(mount, options, files):
    """What could deadlock: a store waits for a page that is being read, and nobody is left to answer that READ."""
    mounted = mount(TREE, options)
    files = paths(mounted)[:files]
    failures = multiprocessing.Queue()
    deadline = time.monotonic() + 6
    readers = [multiprocessing.Process(target=read_until, args=(deadline, seed, files, failures)) for seed in range(8)]
    for reader in readers:
        reader.start()
    while time.monotonic() < deadline:
        prefetch(random.sample(files, len(files) // 2))
        drop_caches("3" if random.random() < 0.3 else "1")
        time.sleep(0.02)
    for reader in readers:
        reader.join(30)
        assert reader.exitcode == 0, "a reader hangs or failed"
    assert failures.empty()


def test_what_a_job_announced_and_never_read_does_not_stand_in_the_way(mount):
    mounted = mount(TREE, "prefetch=1M")
    files = paths(mounted)
    prefetch(files[:100])
    wait_until(lambda: counters(mounted)["prefetched_bytes"] > 1 << 20, "as much is ahead as may be")
    time.sleep(1)  # what is under way arrives
    stuck = counters(mounted)["prefetched"]
    assert stuck < 100
    time.sleep(11)  # longer than the prefetcher is patient
    prefetch(files[200:201])
    wait_until(lambda: counters(mounted)["prefetched"] > stuck, "fetching has gone on")


@pytest.mark.semantics("hint-budget")
def test_a_user_who_announces_what_nobody_reads_takes_nothing_from_others(mount, root):
    mounted = mount(TREE, "allow_other", "prefetch=1M")
    files = paths(mounted)
    inodes = [path.stat().st_ino for path in files]
    names = list(encode_hints(inodes[:200]))

    def flood():
        os.chdir(mounted.path)  # on the way there are folders that are not for everybody
        os.setuid(12345)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.stat(name)

    flooding = multiprocessing.Process(target=flood)
    flooding.start()
    wait_until(lambda: counters(mounted)["prefetched_bytes"] > 1 << 19, "as much is ahead of the other as may be")
    prefetched = counters(mounted)["prefetched"]
    prefetch(files[300:320])
    wait_until(lambda: counters(mounted)["prefetched"] >= prefetched + 20, "what was announced was fetched")
    flooding.join(30)
    assert flooding.exitcode == 0
    assert counters(mounted)["prefetched_bytes"] < 4 << 20


@pytest.mark.semantics("hint-budget")
@pytest.mark.parametrize("size", ["1", "2", "3"])
def test_a_tiny_budget_costs_no_cpu_time(mount, size):
    mounted = mount(TREE, f"prefetch={size}")
    prefetch(paths(mounted)[:50])
    time.sleep(0.5)
    before = sum(map(cpu_ticks, mounted.processes))
    time.sleep(1.5)
    assert sum(map(cpu_ticks, mounted.processes)) - before < 50
    assert [path.read_bytes() for path in paths(mounted)[:50]] == [content(number) for number in range(50)]


def test_what_was_fetched_and_thrown_away_is_no_hit(mount, root):
    mounted = mount(TREE, "prefetch=1M")  # so that every file is a mark
    prefetch(paths(mounted)[:20])
    wait_until(lambda: counters(mounted)["prefetch_markers"] == 20, "they have been fetched")
    drop_caches("3")
    now = counters(mounted)
    assert now["forgets"] >= 20
    assert now["prefetch_hits"] == 0


@pytest.mark.semantics("folder-listed")
def test_a_folder_in_which_names_are_looked_up_is_listed(mount):
    mounted = mount(TREE)
    numbers = random.Random(3).sample(range(FILES), FILES)
    for number in numbers[: FILES // 2]:
        assert paths(mounted)[number].stat().st_size == len(content(number))
    wait_until(lambda: counters(mounted)["folders_listed"] == 1, "the folder was listed")
    before = counters(mounted)["lookups"]
    for number in numbers[FILES // 2 :]:
        assert paths(mounted)[number].read_bytes() == content(number)
    assert counters(mounted)["lookups"] - before < 10, "their names were known"
    assert counters(mounted)["lookups"] < FILES


@pytest.mark.semantics("statistics-new")
def test_statistics_are_always_new_and_whole(mount):
    """Also through one descriptor, and for many who read at once; pages of the text are of different moments then."""
    mounted = mount(TREE)

    def read(_):
        fd = os.open(mounted.path / ".ffrfs" / "stats", os.O_RDONLY)
        try:
            texts = [b"".join(os.pread(fd, 8192, at) for at in range(0, 65535, 8192)) for _ in range(20)]
        finally:
            os.close(fd)
        return [json.loads(text)["counters"]["getattrs"] for text in texts]

    with ThreadPoolExecutor(8) as threads:
        for seen in threads.map(read, range(16)):
            assert all(a < b for a, b in itertools.pairwise(seen))
