"""A mount that goes on when its daemon is replaced: killed and started again, or reloaded, under readers."""

import contextlib
import os
import random
import signal
import time

import pytest

from ffrfs.mount.mountpoint import find_mount, list_mounts
from tests.support.archives import write_archive
from tests.support.descriptor_store import service
from tests.support.errnos import fails_with
from tests.support.processes import ffrfs, marked, wait_until
from tests.support.readers import reading
from tests.support.trees import content

FILES = {f"{number:02}/{size}": content(size, number) for number in range(8) for size in (0, 4097, 60_000, 300_000)}
FILES["large"] = content(5_000_000)
TREE = {b"large": FILES["large"]}
for path, contents in FILES.items():
    if "/" in path:
        TREE.setdefault(path[:2].encode(), {})[path[3:].encode()] = contents
ALL_WAYS = ("whole", "parts", "list", "map")
KILLS = 8
RELOADS = 5
LONGEST_SECONDS = 30.0


@pytest.fixture
def place(fuse, tmp_path):
    """A mount point, from which everything is unmounted in the end."""
    place = tmp_path / "mnt"
    place.mkdir()
    yield place
    while find_mount(str(place)) is not None:
        assert ffrfs("umount", place).returncode == 0


@pytest.fixture
def started(place, tmp_path):
    """A service that serves the tree, and what it was started with."""
    if os.environ.get("FFRFS_NO_RESEND"):
        pytest.skip("before Linux 6.9 nothing is kept")
    arguments = [write_archive(tmp_path / "a.ffr", TREE), place, "-o", "workers=2"]
    with service(tmp_path) as daemon:
        daemon.start(*arguments)
        if not daemon.store.passed():
            pytest.skip("this kernel sends nothing again")
        yield daemon, arguments


def number_of(place):
    """What tells this mount from a later one at the same place."""
    return find_mount(str(place)).number


@pytest.mark.semantics("service-killed")
@pytest.mark.timeout(300)
def test_a_daemon_killed_under_readers_costs_nothing(started, place):
    daemon, arguments = started
    numbers, number = random.Random(1), number_of(place)
    with reading(place, FILES, 4, ALL_WAYS) as outcome:
        for _ in range(KILLS):
            time.sleep(numbers.random() * 0.5)
            daemon.kill()
            daemon.start(*arguments)
    print(outcome)
    assert (outcome.wrong, outcome.errors) == ([], {})
    assert outcome.right > KILLS and outcome.longest_seconds < LONGEST_SECONDS
    assert number_of(place) == number
    assert daemon.log.read_text().count("taken over:") == KILLS
    assert daemon.stop() == 0
    assert find_mount(str(place)) is None
    wait_until(lambda: daemon.store.descriptors == {}, "nothing is kept any longer")
    wait_until(lambda: not marked(daemon.mark), "no process is left")


@pytest.mark.semantics("service-killed")
def test_an_archive_that_was_replaced_meanwhile_is_mounted_anew(started, place, tmp_path):
    daemon, arguments = started
    (place / "00" / "4097").read_bytes()  # the kernel learns that no close need be told, as the next start's would be
    with open(place / "large", "rb") as file:
        daemon.kill()
        os.replace(write_archive(tmp_path / "new.ffr", {b"new": b"contents"}), arguments[0])
        daemon.start(*arguments)
        with fails_with("ENOTCONN", "ECONNABORTED"):
            os.pread(file.fileno(), 1, 4_000_000)
    assert len([m for m in list_mounts() if m.mountpoint == str(place)]) == 1
    assert os.listdir(place) == ["new"] and (place / "new").read_bytes() == b"contents"
    assert "the archive is not as it was: mounting anew" in daemon.log.read_text()
    daemon.kill()
    daemon.start(*arguments)
    assert os.listdir(place) == ["new"], "the new mount is kept in place of the old one"
    assert daemon.stop() == 0


@pytest.mark.semantics("service-killed")
@pytest.mark.parametrize("change", ["umask=077", "fsname=other", "subdir=00"])
def test_other_lasting_options_mount_anew(started, place, change):
    daemon, arguments = started
    daemon.kill()
    daemon.start(*arguments, "-o", change)
    assert f"the option {change.split('=')[0]} is not as it was: mounting anew" in daemon.log.read_text()
    assert daemon.stop() == 0


@pytest.mark.semantics("service-killed")
def test_a_start_that_fails_ends_the_old_mount_at_once(started, place, tmp_path):
    daemon, arguments = started
    daemon.kill()
    arguments[0].rename(tmp_path / "elsewhere")
    daemon.start(*arguments, wait=False)
    assert daemon.process.wait(60) != 0
    with fails_with("ENOTCONN", "ECONNABORTED"):
        os.statvfs(place)
    assert daemon.store.passed() == []


@pytest.mark.semantics("service-killed")
def test_a_mount_that_was_unmounted_meanwhile_is_made_anew(started, place):
    daemon, arguments = started
    daemon.kill()
    assert ffrfs("umount", place).returncode == 0
    daemon.start(*arguments)
    assert (place / "large").read_bytes() == FILES["large"]
    assert daemon.stop() == 0


@pytest.mark.semantics("reloaded")
@pytest.mark.timeout(300)
def test_a_reload_under_readers_costs_nothing(started, place):
    daemon, _ = started
    number = number_of(place)
    with reading(place, FILES, 4, ALL_WAYS) as outcome:
        for _ in range(RELOADS):
            before = daemon.ready()
            daemon.signal(signal.SIGUSR2)
            wait_until(lambda before=before: daemon.ready() > before, "it is ready again", 60)
    print(outcome)
    assert (outcome.wrong, outcome.errors) == ([], {})
    assert outcome.right > RELOADS and outcome.longest_seconds < LONGEST_SECONDS
    assert number_of(place) == number and daemon.process.poll() is None
    assert daemon.log.read_text().count("taken over:") == RELOADS
    assert daemon.stop() == 0


@pytest.mark.semantics("reloaded")
def test_a_reload_takes_over_settings_and_refuses_what_lasts(place, tmp_path):
    archive, config = write_archive(tmp_path / "a.ffr", TREE), tmp_path / "a.toml"

    def configure(options):
        config.write_text(f'archive = "{archive}"\nmountpoint = "{place}"\noptions = ["{options}"]\n')

    configure("workers=1,prefetch=0")
    with service(tmp_path) as daemon:
        daemon.start("--config", config)
        wait_until(lambda: len(marked(daemon.mark)) == 3, "there are a worker, the supervisor and the guardian")
        configure("workers=3,prefetch=0")
        daemon.signal(signal.SIGUSR2)
        wait_until(lambda: daemon.ready() == 2, "it is ready again", 60)
        wait_until(lambda: len(marked(daemon.mark)) == 5, "there are three workers")
        for wrong, why in (("workers=3,umask=077", "option umask is not as it was"), ("wrong", "no mount option")):
            configure(wrong)
            before, pids = daemon.ready(), marked(daemon.mark)
            daemon.signal(signal.SIGUSR2)
            wait_until(lambda before=before: daemon.ready() > before, "it says that it goes on", 60)
            assert why in daemon.log.read_text()
            wait_until(lambda pids=pids: marked(daemon.mark) == pids, "all is as before")
        assert "cannot take over (exit status 2): this one goes on" in daemon.log.read_text()
        assert (place / "large").read_bytes() == FILES["large"]
        assert daemon.stop() == 0


@pytest.mark.semantics("reloaded")
def test_a_mount_in_the_background_is_not_reloaded(mount):
    mounted = mount(TREE)
    mounted.tolerated = ["only a mount in the foreground can be handed on"]
    os.kill(mounted.supervisor, signal.SIGUSR2)
    wait_until(lambda: "only a mount in the foreground" in mounted.log.read_text(), "it says so")
    assert (mounted.path / "large").read_bytes() == FILES["large"]


@pytest.mark.semantics("service-killed", "reloaded")
def test_on_an_older_kernel_only_a_reload_goes_on_with_the_mount(place, tmp_path, monkeypatch):
    monkeypatch.setenv("FFRFS_NO_RESEND", "1")
    arguments = [write_archive(tmp_path / "a.ffr", TREE), place, "-o", "workers=2"]
    with service(tmp_path) as daemon:
        daemon.start(*arguments)
        number = number_of(place)
        daemon.signal(signal.SIGUSR2)
        wait_until(lambda: daemon.ready() == 2, "it is ready again", 60)
        assert (place / "large").read_bytes() == FILES["large"]
        assert number_of(place) == number and "taken over:" in daemon.log.read_text()
        assert daemon.store.descriptors == {}
        daemon.kill()
        wait_until(lambda: not marked(daemon.mark), "its processes have ended")
        with fails_with("ENOTCONN", "ECONNABORTED"):
            os.statvfs(place)
        daemon.start(*arguments)
        assert "cleaned a dead mount" in daemon.log.read_text()
        assert (place / "large").read_bytes() == FILES["large"]
        assert daemon.stop() == 0


def test_what_is_no_mount_of_ffrfs_is_left_alone(place, tmp_path):
    archive, other = write_archive(tmp_path / "a.ffr", TREE), os.memfd_create("other")
    with service(tmp_path) as daemon, contextlib.closing(os.fdopen(other, "wb")):
        daemon.store.descriptors["ffrfs"] = [os.dup(other), os.dup(other)]
        daemon.start(archive, place)
        assert "is not understood" in daemon.log.read_text()
        assert (place / "large").read_bytes() == FILES["large"]
        assert daemon.stop() == 0
