"""Archives that lie on an HTTP or S3 server: the commands, and mounts."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ffrfs
from tests.support.archives import packed_folder, write_tree
from tests.support.errnos import fails_with
from tests.support.object_server import hang, object_server, status
from tests.support.processes import ffrfs as command

TREE = {b"a.txt": b"hello", b"d": {b"%03d.bin" % number: os.urandom(20_000) for number in range(50)}}


@pytest.fixture
def server(monkeypatch, tmp_path):
    with object_server() as started:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
        monkeypatch.setenv("AWS_CONFIG_FILE", os.fspath(tmp_path / "no-config"))
        monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
        started.put("/bucket/coco.ffr", packed_folder(TREE))
        yield started


@pytest.mark.semantics("url-mounted")
def test_a_mount_of_an_object(server, mount, tmp_path):
    folder = write_tree(tmp_path / "folder", TREE)
    mounted = mount("s3://bucket/coco.ffr", f"endpoint={server.url}")
    done = subprocess.run(["diff", "-r", folder, mounted.path], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ffrfs.prefetch(mounted.path.joinpath("d").iterdir()) == 50


@pytest.mark.semantics("url-mounted", "url-secrets")
def test_a_mount_of_a_presigned_url(server, mount):
    mounted = mount(f"{server.url}/bucket/coco.ffr?X-Amz-Signature=abcdef")
    assert (mounted.path / "a.txt").read_bytes() == b"hello"
    shown = command("mounts", "--json").stdout + command("stats", mounted.path, "--json").stdout
    shown += mounted.log.read_text() + Path("/proc/self/mountinfo").read_text()
    assert "coco.ffr" in shown and "abcdef" not in shown


@pytest.mark.semantics("url-busy", "url-hang")
def test_a_mount_goes_on_while_requests_fail(server, mount):
    mounted = mount("s3://bucket/coco.ffr", f"endpoint={server.url}", "prefetch=0")
    server.faults += [status(503), hang, status(429, Retry_After="1")]
    names = sorted(TREE[b"d"])[:8]
    with ThreadPoolExecutor(len(names)) as readers:
        paths = [mounted.path / "d" / os.fsdecode(name) for name in names]
        assert list(readers.map(Path.read_bytes, paths)) == [TREE[b"d"][name] for name in names]


@pytest.mark.semantics("url-replaced")
def test_a_mount_of_an_object_that_was_replaced(server, mount):
    mounted = mount("s3://bucket/coco.ffr", f"endpoint={server.url}", "prefetch=0")
    mounted.tolerated += ["replaced or removed"]
    assert (mounted.path / "d" / "000.bin").read_bytes() == TREE[b"d"][b"000.bin"]
    server.put("/bucket/coco.ffr", packed_folder({b"other": os.urandom(2_000_000)}))
    with fails_with("ESTALE"):
        (mounted.path / "d" / "030.bin").read_bytes()
    assert (mounted.path / "d" / "000.bin").read_bytes() == TREE[b"d"][b"000.bin"]


def test_the_commands(server, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    name = "s3://bucket/coco.ffr"
    assert command("cat", name, "a.txt").stdout == "hello"
    assert command("ls", name).stdout == "a.txt\nd/\n"
    assert "52 records, 0 damaged" in command("verify", name).stdout
    assert f"archive      {name}\n" in command("info", name).stdout
    assert command("unpack", name, tmp_path / "unpacked").returncode == 0
    assert (tmp_path / "unpacked" / "d" / "007.bin").read_bytes() == TREE[b"d"][b"007.bin"]
    missing = command("cat", "s3://bucket/none.ffr", "a.txt")
    assert (missing.returncode, missing.stderr) == (
        1,
        "ffrfs: s3://bucket/none.ffr: there is no such object (HTTP 404 NoSuchKey)\n",
    )


def test_the_other_surfaces(server, monkeypatch):
    import fsspec

    from ffrfs.mm import FFRecordClient

    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    name = "s3://bucket/coco.ffr"
    assert FFRecordClient(fname=name, path_prefix="data/coco").get("data/coco/a.txt") == b"hello"
    assert FFRecordClient().get(f"ffrecord://{name}/a.txt") == b"hello"
    assert fsspec.filesystem("ffr", fo=name).cat_file("a.txt") == b"hello"
    assert fsspec.filesystem("ffr", fo=f"{server.url}/bucket/coco.ffr").cat_file("a.txt") == b"hello"


@pytest.mark.semantics("cache-mounted")
def test_a_mount_with_a_cache_reads_again_without_a_request(server, mount, tmp_path):
    folder = write_tree(tmp_path / "folder", TREE)
    options = ("s3://bucket/coco.ffr", f"endpoint={server.url}", f"cache={tmp_path / 'node'}", "cache_size=1G")
    for _ in range(2):
        mounted = mount(*options)
        done = subprocess.run(["diff", "-r", folder, mounted.path], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        mounted.unmount()
        requests, server.requests[:] = list(server.requests), []
    assert len(requests) == 1


@pytest.mark.semantics("cache-damaged")
def test_damage_in_the_cache_of_a_mount(server, mount, tmp_path):
    options = ("s3://bucket/coco.ffr", f"endpoint={server.url}", f"cache={tmp_path / 'node'}", "cache_size=1G")
    first = mount(*options)
    (first.path / "d" / "000.bin").read_bytes()
    first.unmount()
    [data] = (tmp_path / "node").glob("*.data")
    content = data.read_bytes()
    begin = content.index(TREE[b"d"][b"000.bin"])
    data.write_bytes(content[:begin] + bytes(20_000) + content[begin + 20_000 :])
    second = mount(*options)
    second.tolerated.append("are suspect and are fetched anew")
    assert (second.path / "d" / "000.bin").read_bytes() == TREE[b"d"][b"000.bin"]
