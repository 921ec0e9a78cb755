"""`ffrfs warmup` and `ffrfs cache`, against an HTTP server."""

import json
import os

import pytest

from tests.support.archives import packed_folder
from tests.support.object_server import object_server
from tests.support.processes import ffrfs

TREE = {b"a.txt": b"hello", b"d": {b"%03d.bin" % number: os.urandom(200_000) for number in range(40)}}
CONTENT = packed_folder(TREE)


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "home"))
    monkeypatch.setenv("FFRFS_CACHE", os.fspath(tmp_path / "node"))
    monkeypatch.setenv("FFRFS_CACHE_SIZE", "1G")
    with object_server() as started:
        started.put("/coco.ffr", CONTENT)
        yield started


def fetched(server):
    """How many bytes were asked for since the last time."""
    ranges = [map(int, text.removeprefix("bytes=").split("-")) for text in server.ranges()]
    server.requests.clear()
    return sum(end - begin + 1 for begin, end in ranges)


@pytest.mark.semantics("warmup")
def test_what_was_warmed_up_is_read_without_requests(server):
    url = server.url + "/coco.ffr"
    assert ffrfs("warmup", url).returncode == 0
    assert len(CONTENT) <= fetched(server) <= len(CONTENT) + (1 << 20)
    assert "42 records, 0 damaged" in ffrfs("verify", url).stdout
    assert fetched(server) == 1 << 16
    assert "0 bytes fetched" in ffrfs("warmup", url).stdout


@pytest.mark.semantics("warmup")
def test_warming_up_some_files_in_the_order_of_a_list(server, tmp_path):
    url = server.url + "/coco.ffr"
    names = tmp_path / "names"
    names.write_text("d/035.bin\nd/002.bin\n")
    ffrfs("ls", url)
    server.requests.clear()
    assert ffrfs("warmup", url, "--files-from", names, "-j", "1").returncode == 0
    begins = [int(text.removeprefix("bytes=").split("-")[0]) for text in server.ranges()[1:]]
    assert begins == sorted(begins, reverse=True) and fetched(server) < len(CONTENT) / 2
    missing = ffrfs("warmup", url, "no/such")
    assert missing.returncode == 1 and "no/such" in missing.stderr


def test_listing_checking_and_removing(server, tmp_path):
    url = server.url + "/coco.ffr"
    ffrfs("warmup", url)
    [line] = map(json.loads, ffrfs("cache", "ls", "--json").stdout.splitlines())
    assert (line["archive"], line["size_bytes"], line["in_use"]) == (url, len(CONTENT), False)
    assert "100 %" in ffrfs("cache", "ls").stdout
    assert ": 42 records compared, 0 wrong blocks dropped" in ffrfs("cache", "verify").stdout
    [data] = (tmp_path / "node").glob("*.data")
    with data.open("r+b") as file:
        file.seek(len(CONTENT) // 2)
        file.write(bytes(1000))
    checked = ffrfs("cache", "verify")
    assert checked.returncode == 4 and ", 0 wrong" not in checked.stdout
    assert "42 records, 0 damaged" in ffrfs("verify", url).stdout
    unknown = ffrfs("cache", "rm", "s3://none/x.ffr")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "ffrfs: s3://none/x.ffr is not in the cache: see 'ffrfs cache ls'\n",
    )
    assert ffrfs("cache", "rm", url).returncode == 0
    assert ffrfs("cache", "ls").stdout == ""


def test_without_a_cache(server, monkeypatch):
    monkeypatch.delenv("FFRFS_CACHE")
    for arguments in (["warmup", server.url + "/coco.ffr"], ["cache", "ls"]):
        refused = ffrfs(*arguments)
        assert refused.returncode == 2 and refused.stderr.startswith("ffrfs: say where the cache is")
    assert ffrfs("warmup", "-o", "allow_other", "x.ffr").returncode == 2


def test_the_doctor_knows_it(server, tmp_path, monkeypatch):
    ffrfs("warmup", server.url + "/coco.ffr")
    assert f"the cache {tmp_path / 'node'} holds 7 MiB of 1 files" in ffrfs("doctor").stdout
    monkeypatch.setenv("FFRFS_CACHE_SIZE", "much")
    told = ffrfs("doctor")
    assert told.returncode == 1 and "the cache of this node cannot be used" in told.stdout
