"""A mount whose log cannot be written any more: nobody waits for it, and nothing ends because of it."""

import os
import signal
import time

import pytest

from tests.support.errnos import fails_with
from tests.support.processes import wait_until

pytestmark = pytest.mark.semantics("log-gone")

TREE = {b"bad": bytes(20000), b"good": b"hello\n" * 9999}


@pytest.fixture
def served(mount):
    """A mount whose log has made way for a folder, with a damaged file."""
    mounted = mount(TREE)
    data = bytearray(mounted.archive.read_bytes())
    position = data.index(bytes(20000))
    with mounted.archive.open("r+b") as archive:
        archive.seek(position + 5000)
        archive.write(b"\1")
    mounted.log.unlink()
    mounted.log.mkdir()
    mounted.tolerated = [".*"]
    yield mounted
    if mounted.log.is_dir():
        mounted.log.rmdir()


def serves(mounted):
    with fails_with("EIO"):
        (mounted.path / "bad").read_bytes()
    return (mounted.path / "good").read_bytes() == TREE[b"good"]


def test_a_damaged_file_is_an_error_and_hangs_nobody(served):
    assert serves(served)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_signals(served, number):
    os.kill(served.supervisor, number)
    time.sleep(0.5)
    assert serves(served) and len(served.children) > 1


def test_a_killed_worker_is_replaced(served):
    before = served.children
    os.kill(before[0], signal.SIGKILL)
    wait_until(
        lambda: len(set(served.children)) == len(before) and before[0] not in served.children, "another is there"
    )
    assert serves(served)


def test_sigterm_unmounts_and_open_files_are_read_to_their_end(served):
    with (served.path / "good").open("rb") as good:
        os.kill(served.supervisor, signal.SIGTERM)
        wait_until(lambda: not served.is_mounted(), "it is unmounted")
        assert good.read() == TREE[b"good"]
    served.wait_for_end()
