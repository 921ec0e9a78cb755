"""Trees of real size: `make test-large`. Each test prints what it measured; the limits are the ones promised."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path

import pytest

from ffrfs import FileWriter, pack_folder
from ffrfs.format.header import TREE_MAGIC
from ffrfs.mount.mountpoint import list_mounts
from tests.support.archives import write_archive
from tests.support.mounts import mounted
from tests.support.processes import cpu_ticks, ffrfs, resident_kib, wait_until

SOURCES = sorted(Path("/usr/src").glob("linux-source-*.tar.*"))
MAX_RSS_KIB = 400 << 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(autouse=True)
def asked_for():
    if os.environ.get("FFRFS_TEST_LARGE") != "1":
        pytest.skip("takes minutes and gigabytes; 'make test-large' runs it")


def shell(line, **options):
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, **options)


def test_a_mounted_linux_source_tree_is_the_tree(fuse, workers, tmp_path):
    """Compared by the programs that people compare with, several of them at once."""
    assert SOURCES, "there is no linux-source-*.tar.* in /usr/src: apt-get install linux-source-6.1"
    subprocess.run(["tar", "xf", SOURCES[-1], "-C", tmp_path], check=True)
    source = next(tmp_path.glob("linux-source-*"))
    archive = tmp_path / "linux.ffr"
    packed = pack_folder(source, archive)
    with mounted(archive, tmp_path, f"workers={workers}") as mount:
        checks = {
            "diff": f"diff -r {source} {mount.path}",
            "find": f"diff <(cd {source}; find -L . | sort) <(cd {mount.path}; find . | sort)",
            "md5sum": f"cd {source}; find -L . -type f -print0 | sort -z | xargs -0 md5sum"
            f" | (cd {mount.path}; md5sum --quiet -c -)",
            "tar": f"tar cf - -C {mount.path} . | tar df - -C {mount.path}",
            "rsync": f'test -z "$(rsync -rLcn --out-format=%n {source}/ {mount.path}/)"',
            "cp": f"mkdir {tmp_path}/copy; cd {mount.path}; find . -mindepth 1 -maxdepth 1 -print0"
            f" | xargs -0 -P 8 -I '{{}}' cp -a '{{}}' {tmp_path}/copy/ && diff -r {source} {tmp_path}/copy",
        }
        for name, line in checks.items():
            done = shell(line)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), f"{name}: {done}"
    print(f"\n{packed.files} files compared by {', '.join(checks)} with {workers} workers")


def test_more_than_a_million_files(fuse, tmp_path):
    """1.28 million records and a tree over them, written as records, not as files."""
    files, width = 1_280_000, 1300
    archive = tmp_path / "million.ffr"
    write_many(archive, files, width)
    with mounted(archive, tmp_path, "workers=2") as mount:
        listed = shell(f"find {mount.path} -type f | wc -l")
        assert listed.stdout.strip() == str(files)
        resident = {pid: resident_kib(pid) for pid in mount.processes}
        # The kernel goes on forgetting inodes for a while, which costs CPU time; then an idle mount costs none.
        wait_until(lambda: uses_no_cpu(mount.processes), "an idle mount uses no CPU time", seconds=120)
    print(f"\nresident KiB of {files} files' processes: {sorted(resident.values(), reverse=True)}")
    assert max(resident.values()) < MAX_RSS_KIB


def uses_no_cpu(processes):
    before = [cpu_ticks(pid) for pid in processes]
    time.sleep(3)
    return [cpu_ticks(pid) for pid in processes] == before


def write_many(path, files, width):
    tree = OrderedDict()
    for number in range(files):
        folder = tree.setdefault(f"n{number // width:08d}", OrderedDict())
        folder[f"n{number // width:08d}_{number % width}.JPEG"] = number
    with FileWriter(path, files + 1) as writer:
        for _ in range(files):
            writer.write_one(b"x")
        writer.write_one(TREE_MAGIC + pickle.dumps(tree, 4))


CYCLES = """
import os, sys
from ffrfs.daemon.background import in_background
from ffrfs.mount.log import start_logging
from ffrfs.daemon.serve import prepare
from ffrfs.mount.mountpoint import unmount
from ffrfs.mount.options import parse_options
archive, mountpoint, log = sys.argv[1:]
start_logging(log)
before = len(os.listdir("/proc/self/fd"))
for _ in range(1000):
    prepared = prepare(archive, mountpoint, parse_options(["workers=2"]))
    in_background(prepared.serve)
    with open(os.path.join(mountpoint, "x"), "rb") as file:
        assert file.read() == b"y"
    unmount(mountpoint)
    prepared.shards.close()
assert len(os.listdir("/proc/self/fd")) == before
"""


def test_a_thousand_mounts_leave_nothing(fuse, tmp_path):
    """By what the commands call, from one process: a thousand times two commands would mostly start Python."""
    archive = write_archive(tmp_path / "a.ffr", {b"x": b"y"})
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    cycles = [sys.executable, "-c", CYCLES, archive, mountpoint, tmp_path / "log"]
    assert subprocess.run(cycles, capture_output=True, text=True, timeout=1500).stderr == ""
    wait_until(lambda: not any(str(tmp_path).encode() in line for line in command_lines()), "all daemons have ended")
    assert not [mount for mount in list_mounts() if mount.mountpoint == str(mountpoint)]


def command_lines():
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                yield (entry / "cmdline").read_bytes()


def test_ten_million_names_are_found_quickly_and_share_their_memory(tmp_path):
    """The index of ten million files, mapped: what a second process pays for it."""
    archive = tmp_path / "ten.ffr"
    write_many(archive, 10_000_000, 1300)
    assert ffrfs("index", archive, timeout=300).returncode == 0
    script = f"""
import time, numpy as np
from ffrfs.archive.shards import Shards
from ffrfs.archive.index_file import find_index_file
begin = time.perf_counter()
index = find_index_file(Shards({str(archive)!r}))[1]
opened = time.perf_counter() - begin
inodes = np.random.default_rng(0).integers(2, len(index), 100_000).tolist()
asked = [(index.parent(i), index.name(i), i) for i in inodes]
begin = time.perf_counter()
found = [index.lookup(parent, name) for parent, name, _ in asked]
each = (time.perf_counter() - begin) / len(asked)
assert found == inodes
private = [line for line in open('/proc/self/status') if line.startswith('RssAnon')][0].split()[1]
print(f'opened in {{opened * 1e3:.0f}} ms, lookup {{each * 1e6:.2f}} us, private memory {{private}} KiB')
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    print(f"\n{done.stdout}")
