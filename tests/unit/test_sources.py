"""Archives that lie on HTTP and S3 servers, read in process."""

import errno
import multiprocessing
import os
import pickle
import threading

import pytest

from ffrfs.archive.folder import PackedFolder
from ffrfs.archive.reader import FileReader
from ffrfs.archive.shards import Shards
from ffrfs.errors import ChangedError, ChecksumError, ConfigError, FormatError, TruncatedError
from ffrfs.sources import transfer
from ffrfs.sources.opening import absolute, expand, is_url, open_source, redacted
from tests.support.archives import archive_of, packed_folder
from tests.support.object_server import cut, hang, no_ranges, object_server, other_version, status

LARGE = os.urandom(300_000)
TREE = {b"a.txt": b"hello", b"d": {b"b.bin": LARGE, b"empty": b""}}


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """Credentials and folders of nobody."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.fspath(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.fspath(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))


@pytest.fixture
def server(monkeypatch):
    with object_server() as started:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", started.url)
        yield started


@pytest.fixture
def url(server):
    return server.put("/bucket/some folder/coco+1.ffr", packed_folder(TREE)).replace(" ", "%20")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(transfer, "TRY_SECONDS", 1.0)
    monkeypatch.setattr(transfer, "TOTAL_SECONDS", 30.0)


@pytest.fixture(params=["http", "s3"])
def name(request, url):
    return url if request.param == "http" else "s3://bucket/some folder/coco+1.ffr"


def read_all(folder):
    return (
        folder.read_one("a.txt").tobytes(),
        folder.read_one("d/b.bin").tobytes(),
        folder.read_one("d/empty").tobytes(),
    )


CONTENTS = (b"hello", LARGE, b"")


@pytest.mark.semantics("url")
def test_a_packed_folder_by_its_url(name):
    with PackedFolder(name) as folder:
        assert read_all(folder) == CONTENTS
        assert [array.tobytes() for array in folder.read(["d/b.bin", "a.txt"])] == [LARGE, b"hello"]
        copy = pickle.loads(pickle.dumps(folder))
        assert read_all(copy) == CONTENTS


@pytest.mark.semantics("url-requests")
def test_a_small_archive_is_opened_with_two_requests(server, name):
    with PackedFolder(name):
        assert len(server.requests) <= 2


@pytest.mark.semantics("url-requests")
def test_an_archive_of_many_names_is_opened_with_four_requests(server):
    tree = {b"%064d" % number: b"" for number in range(20_000)}
    name = server.put("/many.ffr", packed_folder(tree))
    with PackedFolder(name) as folder:
        assert folder.num_files() == 20_000
    assert 2 <= len(server.requests) <= 4
    server.requests.clear()
    with PackedFolder(name) as folder:  # whose index lies in the cache folder
        assert folder.num_files() == 20_000
    assert len(server.requests) <= 2


def test_requests_to_s3_are_signed_and_those_to_http_are_not(server, url):
    Shards("s3://bucket/some folder/coco+1.ffr")
    Shards(url)
    signed, plain = server.requests
    assert "Credential=KEY/" in signed[2]["Authorization"] and "SECRET" not in str(signed)
    assert "Authorization" not in plain[2]


def test_a_public_bucket_needs_no_credentials(server, url, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    Shards("s3://bucket/some folder/coco+1.ffr")
    assert "Authorization" not in server.requests[0][2]


def test_forked_children_and_threads_read_with_connections_of_their_own(name):
    folder = PackedFolder(name)
    assert read_all(folder) == CONTENTS
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=lambda: os._exit(read_all(folder) != CONTENTS)) for _ in range(3)]
    for child in children:
        child.start()
    results = []
    threads = [threading.Thread(target=lambda: results.append(read_all(folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert results == [CONTENTS] * 4


def test_shards_by_a_range_of_numbers(server):
    for shard in range(3):
        server.put(f"/data/PART_{shard:05d}.ffr", archive_of([b"%d" % shard, b"x"]))
    reader = FileReader(server.url + "/data/PART_{00000..00002}.ffr")
    assert [record.tobytes() for record in reader.read([0, 2, 4])] == [b"0", b"1", b"2"]
    assert pickle.loads(pickle.dumps(reader)).n == 6


# Failures.


@pytest.mark.semantics("url-busy")
@pytest.mark.parametrize(
    "fault", [status(503), status(429, Retry_After="0"), status(500), cut], ids=["503", "429", "500", "cut"]
)
def test_what_passes_is_tried_again(server, name, fault):
    server.faults += [fault, fault]
    with PackedFolder(name) as folder:
        server.faults += [fault, fault]
        assert read_all(folder) == CONTENTS


@pytest.mark.semantics("url-busy")
def test_retry_after_is_obeyed_up_to_the_end_of_patience(server, url, impatient):
    folder = PackedFolder(url)
    server.requests.clear()
    server.faults.append(status(503, Retry_After="600"))
    with pytest.raises(OSError, match="given up after 1 tries: the server answers HTTP 503") as caught:
        folder.read_one("d/b.bin")
    assert caught.value.errno == errno.EIO
    assert len(server.requests) == 1


@pytest.mark.semantics("url-cut")
def test_what_a_broken_transfer_has_brought_is_not_fetched_again(server, url):
    folder = PackedFolder(url)
    server.requests.clear()
    server.faults.append(cut)
    assert folder.read_one("d/b.bin").tobytes() == LARGE
    first, second = server.ranges()
    assert int(second.split("=")[1].split("-")[0]) > int(first.split("=")[1].split("-")[0])


@pytest.mark.semantics("url-hang")
def test_a_server_that_hangs_is_given_up_and_others_read_on(server, url, impatient, monkeypatch):
    folder, other = PackedFolder(url), PackedFolder(url)
    server.faults.append(hang)
    failed = []
    begun = threading.Event()

    def read():
        begun.set()
        failed.append(folder.read_one("d/b.bin").tobytes())

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait(10)
    assert other.read_one("d/b.bin").tobytes() == LARGE
    thread.join()
    assert failed == [LARGE]
    server.always = hang
    monkeypatch.setattr(transfer, "TOTAL_SECONDS", 2.0)
    with pytest.raises(OSError, match="the server says nothing for") as caught:
        folder.read_one("d/b.bin")
    assert caught.value.errno == errno.EIO


@pytest.mark.semantics("url-replaced")
@pytest.mark.parametrize("ignores_if_match", [False, True])
def test_bytes_of_two_versions_never_mix(server, url, ignores_if_match):
    folder = PackedFolder(url)
    if ignores_if_match:
        server.always = other_version
    else:
        server.put("/bucket/some folder/coco+1.ffr", packed_folder({**TREE, b"new": b"x"}))
    with pytest.raises(ChangedError, match="mount or open it again"):
        folder.read_one("d/b.bin")


@pytest.mark.semantics("url-replaced")
def test_an_object_that_was_removed(server, url):
    folder = PackedFolder(url)
    server.objects.clear()
    with pytest.raises(ChangedError):
        folder.read_one("d/b.bin")


@pytest.mark.semantics("url-missing")
def test_an_object_that_is_not_there(server, name):
    server.objects.clear()
    with pytest.raises(FileNotFoundError, match="there is no such object"):
        PackedFolder(name)
    assert len(server.requests) == 1


@pytest.mark.semantics("url-refused")
@pytest.mark.parametrize("code", [401, 403])
def test_access_that_is_refused(server, name, code):
    server.always = status(code, "AccessDenied")
    with pytest.raises(PermissionError, match=f"HTTP {code} AccessDenied"):
        PackedFolder(name)


@pytest.mark.semantics("url-refused")
def test_an_expired_token_is_read_anew_once(server, url, monkeypatch):
    folder = PackedFolder("s3://bucket/some folder/coco+1.ffr")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FRESH")
    server.requests.clear()
    server.faults.append(status(400, "ExpiredToken"))
    assert folder.read_one("d/b.bin").tobytes() == LARGE
    assert ["FRESH" in headers["Authorization"] for _, _, headers in server.requests] == [False, True]


def test_the_region_that_the_server_names_is_used(server, url):
    server.faults.append(status(400, "AuthorizationHeaderMalformed", x_amz_bucket_region="eu-west-3"))
    Shards("s3://bucket/some folder/coco+1.ffr")
    assert "/eu-west-3/s3/" in server.requests[1][2]["Authorization"]


@pytest.mark.semantics("url-no-ranges")
def test_a_server_without_ranges_is_refused(server, url):
    server.always = no_ranges
    with pytest.raises(OSError, match="the server ignores ranges"):
        PackedFolder(url)


def test_a_server_that_cannot_be_reached_is_said_so_at_once(tmp_path):
    with pytest.raises(OSError, match=r"the server cannot be reached|cannot be resolved") as caught:
        PackedFolder("http://127.0.0.1:9/x.ffr?X-Amz-Signature=secret")
    assert "secret" not in str(caught.value)


def test_an_empty_object_is_no_archive(server):
    with pytest.raises(TruncatedError, match="is empty"):
        FileReader(server.put("/empty.ffr", b""))


def test_damage_is_found(server):
    content = bytearray(packed_folder(TREE))
    content[-500_00] ^= 1
    with pytest.raises(ChecksumError):
        read_all(PackedFolder(server.put("/damaged.ffr", bytes(content))))


# Names.


@pytest.mark.semantics("url-secrets")
def test_secrets_in_urls_are_never_shown(server, url):
    signed = url + "?X-Amz-Credential=KEY&X-Amz-Signature=abcdef"
    folder = PackedFolder(signed)
    assert "abcdef" not in folder.path and folder.path.endswith("coco+1.ffr")
    assert "abcdef" in server.requests[0][1]
    assert read_all(pickle.loads(pickle.dumps(folder))) == CONTENTS
    assert redacted("https://me:pw@host/x?y#z") == "https://host/x"
    with pytest.raises(ConfigError, match="no password") as caught:
        open_source("https://me:pw@host/x.ffr")
    assert "pw" not in str(caught.value)


def test_names():
    assert is_url("s3://b/k") and not is_url("/s3://b") and not is_url("file:///x") and not is_url("c:/x")
    assert absolute("file:///a%20b/../x.ffr") == "/x.ffr"
    assert absolute("s3://b/../x") == "s3://b/../x"
    assert expand("x{08..11}y") == ["x08y", "x09y", "x10y", "x11y"]
    with pytest.raises(ConfigError):
        expand("x{9..1}")


@pytest.mark.parametrize("bad", ["s3://bucket", "s3:///key", "s3://key:secret@bucket/x"])
def test_urls_that_are_no_objects(bad):
    with pytest.raises(ConfigError, match="s3://BUCKET/KEY"):
        open_source(bad)


def test_any_scheme_of_fsspec():
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/x.ffr", packed_folder(TREE))
    assert read_all(PackedFolder("memory://x.ffr")) == CONTENTS
    with pytest.raises(FileNotFoundError):
        open_source("memory://y.ffr")
    with pytest.raises(ConfigError, match="cannot be read"):
        open_source("nonsense://y.ffr")


def test_a_local_file_by_a_file_url(tmp_path):
    (tmp_path / "x y.ffr").write_bytes(packed_folder(TREE))
    assert read_all(PackedFolder(f"file://{tmp_path}/x%20y.ffr")) == CONTENTS
    with pytest.raises(FormatError):
        open_source("/dev/null")
