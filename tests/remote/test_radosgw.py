"""The same against a real S3 server, which checks signatures and conditions."""

import os
import subprocess

import pytest

from ffrfs.archive.folder import PackedFolder
from ffrfs.errors import ChangedError, PackError
from ffrfs.pack.pack import pack_folder
from ffrfs.pack.writer import FileWriter
from ffrfs.sources import upload
from tests.support.archives import archive_of, packed_folder, write_tree
from tests.support.processes import ffrfs
from tests.support.radosgw import missing_programs, radosgw

if os.environ.get("FFRFS_TEST_REMOTE") != "1":
    pytest.skip("starts an S3 server: make test-remote", allow_module_level=True)

TREE = {b"a.txt": b"hello", b"d": {b"%03d.bin" % number: os.urandom(50_000) for number in range(60)}}
CONTENT = packed_folder(TREE)


@pytest.fixture(scope="module")
def started():
    assert missing_programs() == []
    with radosgw() as server:
        server.client().create_bucket(Bucket="data")
        yield server


@pytest.fixture
def server(started, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in started.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.fspath(tmp_path / "no-config"))
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
    monkeypatch.setattr(upload, "_MIN_PART_BYTES", 5 << 20)  # the least that S3 takes
    return started


@pytest.fixture(params=["coco.ffr", "a folder/ä+b=c & 'd' (1)~.ffr"])
def name(request, server):
    server.client().put_object(Bucket="data", Key=request.param, Body=CONTENT)
    return f"s3://data/{request.param}"


def test_reading(name):
    with PackedFolder(name) as folder:
        assert folder.read_one("a.txt").tobytes() == b"hello"
        names = [f"d/{number:03d}.bin" for number in range(60)]
        assert [array.tobytes() for array in folder.read(names)] == list(TREE[b"d"].values())


def test_the_commands_and_a_mount(name, mount, tmp_path):
    assert "62 records, 0 damaged" in ffrfs("verify", name).stdout
    folder = write_tree(tmp_path / "folder", TREE)
    mounted = mount(name)
    done = subprocess.run(["diff", "-r", folder, mounted.path], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_object_that_was_replaced(server):
    server.client().put_object(Bucket="data", Key="replaced.ffr", Body=CONTENT)
    folder = PackedFolder("s3://data/replaced.ffr")
    server.client().put_object(Bucket="data", Key="replaced.ffr", Body=CONTENT[:-1] + b"x")
    with pytest.raises(ChangedError):
        folder.read_one("d/030.bin")


def test_credentials_that_are_wrong_and_objects_that_are_not_there(server, monkeypatch):
    with pytest.raises(FileNotFoundError, match="NoSuchKey"):
        PackedFolder("s3://data/none.ffr")
    with pytest.raises(FileNotFoundError, match="NoSuchBucket"):
        PackedFolder("s3://no-bucket/none.ffr")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(PermissionError, match="SignatureDoesNotMatch"):
        PackedFolder("s3://data/none.ffr")


def test_a_presigned_url(server, name):
    key = name.removeprefix("s3://data/")
    url = server.client().generate_presigned_url("get_object", Params={"Bucket": "data", "Key": key})
    with PackedFolder(url) as folder:
        assert folder.read_one("a.txt").tobytes() == b"hello"
        assert "Signature" not in folder.path


@pytest.mark.parametrize("count", [1, 40])
def test_packing_to_a_bucket(server, tmp_path, count):
    tree = {b"%d.bin" % number: os.urandom(400_000) for number in range(count)}
    pack_folder(write_tree(tmp_path / "folder", tree), f"s3://data/packed-{count}.ffr")
    stored = server.client().get_object(Bucket="data", Key=f"packed-{count}.ffr")["Body"].read()
    pack_folder(tmp_path / "folder", tmp_path / "local.ffr")
    assert stored == (tmp_path / "local.ffr").read_bytes()


def test_an_upload_that_is_given_up(server):
    records = [os.urandom(1 << 20) for _ in range(12)]
    with pytest.raises(PackError), FileWriter("s3://data/given-up.ffr", 13) as writer:
        writer.write(records)
    client = server.client()
    assert client.list_multipart_uploads(Bucket="data").get("Uploads", []) == []
    assert "given-up.ffr" not in str(client.list_objects_v2(Bucket="data").get("Contents"))
    with FileWriter("s3://data/given-up.ffr", 12) as writer:
        writer.write(records)
    assert client.get_object(Bucket="data", Key="given-up.ffr")["Body"].read() == archive_of(records)
