"""The wait of a worker: where it stands in for trio, and where it must not."""

import logging
import os

import pytest

pyfuse3 = pytest.importorskip("pyfuse3", reason="pyfuse3 is not installed")
pytest.importorskip("trio", reason="trio is not installed")


import trio  # noqa: E402
import trio.testing  # noqa: E402

from ffrfs.fs.loop import FuseLoop  # noqa: E402


@pytest.fixture
def seam(monkeypatch):
    """pyfuse3's waiting primitives, put back after the test."""
    monkeypatch.setattr(pyfuse3, "trio", trio)


@pytest.fixture
def null():
    """A descriptor that stands for a session on which nothing comes."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


def test_it_stands_in_for_trio(seam):
    FuseLoop().install()
    assert pyfuse3.trio is not trio
    assert pyfuse3.trio.ClosedResourceError is trio.ClosedResourceError


def test_without_the_seam_stock_trio_stays(monkeypatch, caplog):
    monkeypatch.delattr(pyfuse3, "trio")
    with caplog.at_level(logging.WARNING):
        FuseLoop().install()
    assert not hasattr(pyfuse3, "trio")
    assert "takes no other wait" in caplog.text


def test_the_lock_is_waited_for_when_held(seam, null):
    async def check():
        loop = FuseLoop()
        loop.install()
        loop.begin(null, shared=False)
        lock = pyfuse3.trio.Lock()
        order = []

        async def reader(name):
            async with lock:
                order.append(f"{name} has it")
                await trio.testing.wait_all_tasks_blocked()
                order.append(f"{name} gives it back")
            # Who waits for storage lets another read requests.
            await loop.in_thread(lambda: None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader, "a")
            nursery.start_soon(reader, "b")
        assert [line.split(" ", 1)[1] for line in order] == ["has it", "gives it back"] * 2

    trio.run(check)


def test_threads_run_beside_each_other_and_errors_come_back(seam, null):
    async def check():
        loop = FuseLoop(threads=2)
        loop.begin(null, shared=False)
        results = []

        async def wait_for(value):
            results.append(await loop.in_thread(lambda: value))

        async with trio.open_nursery() as nursery:
            for value in range(5):
                nursery.start_soon(wait_for, value)
        assert sorted(results) == [0, 1, 2, 3, 4]
        with pytest.raises(ZeroDivisionError):
            await loop.in_thread(lambda: 1 // 0)

    trio.run(check)
