"""Packing on a dask cluster of two worker processes."""

import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from ffrfs import FileReader, PackedFolder, PackError, pack_folder

distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install 'ffrfs[dask]'")

pytestmark = pytest.mark.filterwarnings("default")  # distributed's own are none of ours


def two_workers():
    return distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)


@pytest.fixture(scope="module")
def cluster():
    with two_workers() as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02d}").write_bytes(os.urandom(1000))
    return folder


def records(archive):
    with FileReader(archive) as reader:
        return [data.tobytes() for data in reader.read(range(reader.n))]


def executed(client):
    return client.run(lambda dask_worker: dask_worker.state.executed_count)


def ffrfs(*arguments):
    return subprocess.run([sys.executable, "-m", "ffrfs", *arguments], capture_output=True, text=True)


def test_both_workers_write_shards(client, source, tmp_path):
    before = executed(client)
    with client.get_executor() as executor:
        packed = pack_folder(source, tmp_path / "out", shards=6, executor=executor)
    after = executed(client)
    assert len(packed.archives) == 6
    assert sum(after.values()) - sum(before.values()) == 6
    assert all(after[worker] > before[worker] for worker in after)
    pack_folder(source, tmp_path / "single.ffr")
    assert records(tmp_path / "out") == records(tmp_path / "single.ffr")


def test_an_error_on_a_worker_arrives_as_it_is(client, source, tmp_path):
    with client.get_executor() as executor, pytest.raises(PackError, match="source/59: it vanished"):
        pack_folder(
            source,
            tmp_path / "out",
            shards=4,
            executor=executor,
            progress=lambda *_: (source / "59").unlink(missing_ok=True),
        )
    assert os.listdir(tmp_path) == ["source"]


def test_the_command_packs_on_a_cluster(client, cluster, source, tmp_path):
    before = executed(client)
    packed = ffrfs("pack", "--dask", cluster.scheduler_address, "--shards", "4", source, tmp_path / "out")
    assert packed.returncode == 0, packed
    assert sum(executed(client).values()) - sum(before.values()) == 4
    pack_folder(source, tmp_path / "single.ffr")
    assert records(tmp_path / "out") == records(tmp_path / "single.ffr")


@pytest.mark.parametrize(
    ("address", "status", "problem"),
    [
        ("nonsense", 2, "no address of a dask scheduler"),
        ("bad://scheduler", 2, "no address of a dask scheduler"),
        ("tcp://127.0.0.1:1", 1, "tcp://127.0.0.1:1"),
    ],
)
def test_a_scheduler_that_is_not_there(source, tmp_path, address, status, problem):
    packed = ffrfs("pack", "--dask", address, "--shards", "2", source, tmp_path / "out")
    assert packed.returncode == status
    (line,) = packed.stderr.splitlines()
    assert problem in line
    assert not (tmp_path / "out").exists()


def test_a_cluster_without_workers(source, tmp_path):
    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty:
        packed = ffrfs("pack", "--dask", empty.scheduler_address, "--shards", "2", source, tmp_path / "out")
    assert packed.returncode == 2
    assert "has no workers" in packed.stderr


def pack_held_by(pids):
    """Which of these processes has a temporary open."""
    for pid in pids:
        with os.scandir(f"/proc/{pid}/fd") as descriptors:
            for descriptor in descriptors:
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(descriptor.path).endswith(".tmp"):
                        return pid
    return None


def test_a_worker_that_is_killed_does_no_harm(client, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name in "ab":
        with (source / name).open("wb") as file:
            file.truncate(500_000_000)
    pids = list(client.run(os.getpid).values())
    with client.get_executor() as executor, ThreadPoolExecutor(1) as thread:
        packing = thread.submit(pack_folder, source, out, shards=2, executor=executor)
        while (victim := pack_held_by(pids)) is None:
            assert not packing.done()
        os.kill(victim, signal.SIGKILL)
        packing.result()
    with PackedFolder(out) as folder:
        assert [folder.size(name) for name in "ab"] == [500_000_000] * 2
    FileReader(out).verify()
    assert sorted(os.listdir(out)) == ["PART_00000.ffr", "PART_00001.ffr"]


def test_a_worker_without_ffrfs_is_named(source, tmp_path):
    def forget():
        sys.path.insert(0, str(tmp_path / "other"))
        # The finder of an editable installation would find ffrfs wherever sys.path leads.
        sys.meta_path = [finder for finder in sys.meta_path if "editable" not in finder.__module__]
        for name in [name for name in sys.modules if name.partition(".")[0] == "ffrfs"]:
            del sys.modules[name]

    (tmp_path / "other" / "ffrfs").mkdir(parents=True)
    (tmp_path / "other" / "ffrfs" / "__init__.py").touch()
    with two_workers() as cluster, distributed.Client(cluster) as client:  # its own, since it is of no use afterwards
        client.wait_for_workers(2, timeout=60)
        client.run(forget)
        packed = ffrfs("pack", "--dask", cluster.scheduler_address, "--shards", "2", source, tmp_path / "out")
    assert packed.returncode == 2
    assert "does not have ffrfs" in packed.stderr
