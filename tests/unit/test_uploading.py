"""Packing to a bucket: parts, and that nothing appears before all is there."""

import os

import pytest

from ffrfs.archive.folder import PackedFolder
from ffrfs.archive.reader import FileReader
from ffrfs.errors import ConfigError, PackError
from ffrfs.pack.pack import pack_folder
from ffrfs.pack.writer import FileWriter
from ffrfs.sources import transfer, upload
from tests.support.archives import archive_of, write_tree
from tests.support.object_server import cut, object_server, status

NAME = "s3://bucket/x.ffr"
RECORDS = [os.urandom(30_000) for _ in range(40)]


@pytest.fixture
def server(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.fspath(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
    with object_server() as started:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", started.url)
        yield started


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(upload, "_MIN_PART_BYTES", 100_000)


def write(records, promised=None):
    with FileWriter(NAME, promised if promised is not None else len(records)) as writer:
        writer.write(records)


@pytest.mark.semantics("upload")
def test_a_small_archive_is_one_request(server):
    write(RECORDS)
    assert server.objects["/bucket/x.ffr"] == archive_of(RECORDS)
    assert [method for method, _, _ in server.requests] == ["PUT"]


@pytest.mark.semantics("upload")
@pytest.mark.parametrize("count", [3, 4, 13, 40])
def test_a_large_one_is_sent_in_parts_and_the_header_last(server, small_parts, count):
    write(RECORDS[:count])
    assert server.objects["/bucket/x.ffr"] == archive_of(RECORDS[:count])
    parts = [path for method, path, _ in server.requests if method == "PUT" and "partNumber" in path]
    assert server.uploads == {} and (not parts or "partNumber=1&" in parts[-1])


def test_a_header_of_several_parts(server, small_parts):
    records = [b"%d" % number for number in range(30_000)]
    write(records)
    assert server.objects["/bucket/x.ffr"] == archive_of(records)


def test_records_larger_than_parts(server, small_parts):
    records = [b"a" * 950_001, b"", b"b" * 2_300_000]
    write(records)
    assert server.objects["/bucket/x.ffr"] == archive_of(records)


@pytest.mark.semantics("upload-fails")
def test_what_passes_is_tried_again(server, small_parts):
    server.faults += [status(503), status(500, "InternalError"), cut, status(503)]
    write(RECORDS)
    assert server.objects["/bucket/x.ffr"] == archive_of(RECORDS)


@pytest.mark.semantics("upload-fails")
def test_an_upload_that_is_given_up_leaves_nothing(server, small_parts):
    server.put("/bucket/x.ffr", b"what was there")
    with pytest.raises(PackError, match="closed after 40 records where 41"):
        write(RECORDS, promised=41)
    assert server.objects == {"/bucket/x.ffr": b"what was there"} and server.uploads == {}


@pytest.mark.semantics("upload-fails")
def test_a_bucket_that_refuses(server, small_parts, monkeypatch):
    monkeypatch.setattr(transfer, "TOTAL_SECONDS", 1.0)
    server.always = status(403, "AccessDenied")
    with pytest.raises(PermissionError, match="access is refused"):
        write(RECORDS)
    server.always = None
    server.faults += [lambda handler: False] * 5  # the beginning of the upload, and its first parts
    server.faults += [status(403, "AccessDenied")] * 20
    with pytest.raises(PermissionError):
        write(RECORDS)
    assert server.objects == {}


@pytest.mark.semantics("upload")
def test_packing_a_folder(server, small_parts, tmp_path):
    tree = {b"a.txt": b"hello", b"d": {b"%d.bin" % number: record for number, record in enumerate(RECORDS)}}
    packed = pack_folder(write_tree(tmp_path / "folder", tree), NAME)
    assert packed.archives == [NAME]
    with PackedFolder(NAME) as folder:
        assert folder.read_one("d/7.bin").tobytes() == RECORDS[7]
    assert FileReader(NAME).n == 42


def test_places_that_cannot_be_written_to(server, tmp_path):
    with pytest.raises(ConfigError, match="to files and to s3://"):
        FileWriter(f"{server.url}/x.ffr", 1)
    with pytest.raises(ConfigError, match="shards are written to a folder"):
        pack_folder(tmp_path, "s3://bucket/shards", shards=2)
