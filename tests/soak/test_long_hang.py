"""Storage that hangs for a whole minute under a part of the archive, while everybody reads the rest."""

import subprocess
import time

import pytest

from ffrfs.mount.observation import observe
from tests.support.archives import write_archive
from tests.support.faulty_storage import faulty_storage
from tests.support.readers import reading
from tests.support.trees import content

HANG_SECONDS = 60.0
LONGEST_LOOK_SECONDS = 10.0
LARGE = content((3 << 20) + 17)
SMALL = {f"{number:03}": content(10_000, number) for number in range(200)}
TREE = {
    b"large": LARGE,  # far from the rest, so that the kernel's readahead of the archive does not reach into it
    b"middle": bytes(1 << 20),
    b"small": {name.encode(): contents for name, contents in SMALL.items()},
}


@pytest.mark.semantics("hanging-minute")
@pytest.mark.slow
def test_storage_that_hangs_for_a_minute(soak_seconds, mount, tmp_path):
    (tmp_path / "below").mkdir()
    archive = write_archive(tmp_path / "below" / "a.ffr", TREE)
    begin = archive.read_bytes().index(LARGE)
    with faulty_storage(tmp_path / "below", tmp_path) as storage:
        mounted = mount(storage.path / "a.ffr")
        storage.set("hang", begin, begin + len(LARGE))
        cat = ["cat", mounted.path / "large"]
        hung = [subprocess.Popen(cat, stdout=subprocess.PIPE) for _ in range(8)]
        with reading(mounted.path / "small", SMALL, 4, ("whole", "parts", "map", "list")) as outcome:
            end = time.monotonic() + HANG_SECONDS
            hung[0].kill()
            hung[0].wait(LONGEST_LOOK_SECONDS)
            while time.monotonic() < end:
                assert observe(str(mounted.path)).counters["internal_errors"] == 0
                assert [reader.poll() for reader in hung[1:]] == [None] * 7
                time.sleep(1)
        storage.set("ok")
        assert [reader.communicate(timeout=60)[0] == LARGE for reader in hung[1:]] == [True] * 7
        hung[0].stdout.close()
        mounted.unmount()
    print(f"\n{HANG_SECONDS:.0f} s: {outcome}")
    assert (outcome.wrong, outcome.errors) == ([], {})
    assert outcome.right > HANG_SECONDS
    assert outcome.longest_seconds < LONGEST_LOOK_SECONDS
