"""Reading ahead: runs, hints, filling at OPEN, and that none of them can hang a mount."""

import contextlib
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from ffrfs import prefetch
from tests.support.archives import packed_folder
from tests.support.processes import wait_until

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
    assert after["prefetch_hits"] - before["prefetch_hits"] == 100
    assert after["reads"] == before["reads"], "no READ was needed for what had been fetched"


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
    mounted = mount(TREE, "prefetch=1M")  # about fifty of the files
    files = paths(mounted)
    assert prefetch(files) == FILES
    for number, path in enumerate(files):
        assert path.read_bytes() == content(number)
        now = counters(mounted)
        ahead = now["prefetched_bytes"] - now["prefetch_hit_bytes"]
        assert ahead <= 2 * (1 << 20), f"{ahead} bytes ahead at file {number}"


def test_a_run_is_read_ahead(mount):
    mounted = mount(TREE, "fill=0")
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
    assert "# TYPE ffrfs_opens_total counter" in metrics
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


@pytest.mark.parametrize(("options", "files"), [("fill=1M", 40), ("fill=1M", 3), ("fill=0", 40)])
def test_filling_prefetching_and_reading_the_same_files_never_hang(mount, options, files):
    """What could deadlock: a fill waits for a page that is being read, and nobody is left to answer that READ."""
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


def test_only_files_that_nobody_has_open_are_filled(mount):
    """Filling one that is being read could hang the mount. Also a worker that was restarted knows what is open."""
    mounted = mount(TREE, "prefetch=0")
    mounted.tolerated.append("starting another")
    files = paths(mounted)
    with open(files[0], "rb") as file:
        assert counters(mounted)["fills"] == 1
        before = mounted.children
        for worker in before:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        wait_until(lambda: len(mounted.children) == len(before), "others have been started")
        wait_until(lambda: not set(mounted.children) & set(before), "the killed ones are gone")
        drop_caches("3")
        assert files[0].read_bytes() == file.read() == content(0)
        assert counters(mounted)["fills"] == 1
        for number in range(1, 20):
            assert files[number].read_bytes() == content(number)
        assert counters(mounted)["fills"] == 20
    drop_caches("3")
    if counters(mounted)["forgets"]:  # if this user may drop caches
        assert files[0].read_bytes() == content(0)
        assert counters(mounted)["fills"] == 21
