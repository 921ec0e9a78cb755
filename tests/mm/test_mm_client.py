"""FFRecordClient against the framework's own disk backend; without a framework, against the operating system."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ffrfs import ReadOnlyError, pack_folder
from ffrfs.mm import FFRecordClient

PHOTO = "train2017/000000000001.jpg"


class OperatingSystem:
    """What the frameworks' disk backends are, for where none is installed."""

    def get(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def get_text(self, path: str, encoding: str = "utf-8") -> str:
        return Path(path).read_text(encoding)

    exists, isfile, isdir = staticmethod(os.path.exists), staticmethod(os.path.isfile), staticmethod(os.path.isdir)
    join_path = staticmethod(os.path.join)

    @contextmanager
    def get_local_path(self, path: str) -> Iterator[str]:
        yield path

    def list_dir_or_file(self, path: str, list_dir=True, list_file=True, suffix=None, recursive=False) -> Iterator[str]:
        for entry in os.scandir(path):
            if not entry.name.startswith(".") and entry.is_file():
                if list_file and (suffix is None or entry.name.endswith(suffix)):
                    yield entry.name
            elif entry.is_dir():
                if list_dir:
                    yield entry.name
                if recursive:
                    below = self.list_dir_or_file(entry.path, list_dir, list_file, suffix, recursive)
                    yield from (f"{entry.name}/{name}" for name in below)


def disk_backend() -> Any:
    try:
        from mmengine.fileio import LocalBackend

        return LocalBackend()
    except ImportError:
        pass
    try:
        from mmcv.fileio.file_client import HardDiskBackend

        return HardDiskBackend()
    except ImportError:
        return OperatingSystem()


@pytest.fixture
def disk() -> Any:
    return disk_backend()


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what listings and texts can trip over, packed beside itself as tree.ffr."""
    folder = tmp_path_factory.mktemp("tree")
    for name, content in {
        "a/b/deep.jpg": b"deep",
        "a/one.jpg": b"one",
        "a/two.png": b"two",
        "a/.hidden.jpg": b"hidden",
        ".git/config": b"in a hidden folder",
        "empty": b"",
        "dos.txt": b"one\r\ntwo\r\n",
        "latin.txt": "Göthe\n".encode("latin-1"),
        "utf8.txt": "Göthe 中文\n".encode(),
    }.items():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_bytes(content)
    (folder / "tree/a/none").mkdir()
    pack_folder(folder / "tree", folder / "tree.ffr")
    return folder


@pytest.fixture
def client(tree: Path, monkeypatch: pytest.MonkeyPatch) -> FFRecordClient:
    monkeypatch.chdir(tree)
    return FFRecordClient("tree.ffr", "tree")


@pytest.mark.parametrize("name", ["a/b/deep.jpg", "a/one.jpg", "a/.hidden.jpg", ".git/config", "empty", "dos.txt"])
def test_get_gives_what_the_disk_gives(client: FFRecordClient, disk: Any, name: str) -> None:
    path = f"tree/{name}"
    assert client.get(path) == disk.get(path)
    assert type(client.get(path)) is type(disk.get(path))


@pytest.mark.parametrize(("name", "encoding"), [("dos.txt", "utf-8"), ("latin.txt", "latin-1"), ("utf8.txt", "utf-8")])
def test_get_text_gives_what_the_disk_gives(client: FFRecordClient, disk: Any, name: str, encoding: str) -> None:
    assert client.get_text(f"tree/{name}", encoding) == disk.get_text(f"tree/{name}", encoding)


def test_get_text_refuses_what_is_not_in_the_encoding(client: FFRecordClient) -> None:
    with pytest.raises(UnicodeDecodeError):
        client.get_text("tree/latin.txt")


@pytest.mark.parametrize("method", ["exists", "isfile", "isdir"])
@pytest.mark.parametrize("name", ["", "a", "a/", "a/one.jpg", "a/none", "nothing", "a/one.jpg/below", "../tree.ffr"])
def test_kinds_are_what_the_disk_says(client: FFRecordClient, disk: Any, method: str, name: str) -> None:
    expected = getattr(disk, method)(f"tree/{name}") and name != "../tree.ffr"
    assert getattr(client, method)(f"tree/{name}") is expected


@pytest.mark.parametrize("folder", ["tree", "tree/", "./tree", "tree/a", "tree/a/none"])
@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize(
    ("list_dir", "list_file", "suffix"),
    [
        (True, True, None),
        (False, True, None),
        (True, False, None),
        (False, False, None),
        (False, True, ".jpg"),
        (False, True, ("g", "t")),
        (False, False, ".jpg"),
    ],
)
def test_listings_are_the_disk_s(
    client: FFRecordClient, disk: Any, folder: str, recursive: bool, list_dir: bool, list_file: bool, suffix: Any
) -> None:
    arguments = (folder, list_dir, list_file, suffix, recursive)
    assert list(client.list_dir_or_file(*arguments)) == sorted(
        disk.list_dir_or_file(*arguments), key=lambda path: path.split("/")
    )


@pytest.mark.parametrize(("list_dir", "suffix"), [(True, ".jpg"), (False, [".jpg"])])
def test_listing_refuses_what_the_disk_refuses(client: FFRecordClient, disk: Any, list_dir: bool, suffix: Any) -> None:
    for backend in (client, disk) if not isinstance(disk, OperatingSystem) else (client,):
        with pytest.raises(TypeError):
            list(backend.list_dir_or_file("tree", list_dir, True, suffix))


def test_join_path(client: FFRecordClient, disk: Any) -> None:
    assert client.join_path("tree/a", "b", "deep.jpg") == disk.join_path("tree/a", "b", "deep.jpg")
    assert client.join_path("ffrecord:///x.ffr/", "a/one.jpg") == "ffrecord:///x.ffr/a/one.jpg"


def test_local_path_is_a_copy_for_a_while(client: FFRecordClient) -> None:
    with client.get_local_path("tree/a/one.jpg") as path:
        assert Path(path).read_bytes() == b"one"
        assert path.endswith("one.jpg")
        assert not Path(path).is_relative_to("tree")
    assert not Path(path).exists()


def test_local_path_is_removed_after_an_error(client: FFRecordClient) -> None:
    with pytest.raises(ZeroDivisionError), client.get_local_path("tree/a/one.jpg") as path:
        raise ZeroDivisionError
    assert not Path(path).exists()


def test_local_path_of_a_file_beside_the_archive(client: FFRecordClient, tree: Path) -> None:
    (tree / "beside.json").write_text("{}")
    with client.get_local_path("beside.json") as path:
        assert path == "beside.json"
    assert Path("beside.json").exists()


def test_copies_out(client: FFRecordClient, tmp_path: Path) -> None:
    assert client.copyfile_to_local("tree/a/one.jpg", tmp_path) == str(tmp_path / "one.jpg")
    assert (tmp_path / "one.jpg").read_bytes() == b"one"
    assert client.copyfile_to_local("tree/a/one.jpg", tmp_path / "two") == str(tmp_path / "two")
    assert client.copytree_to_local("tree/a", tmp_path / "copy") == str(tmp_path / "copy")
    shutil.copytree("tree/a", tmp_path / "expected")
    assert tree_of(tmp_path / "copy") == tree_of(tmp_path / "expected")


def tree_of(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_a_list_is_read_as_one_batch(client: FFRecordClient) -> None:
    paths = ["tree/a/two.png", "tree/empty", "tree/a/one.jpg", "./tree/a/two.png"]
    assert client.get(paths) == [b"two", b"", b"one", b"two"]
    assert client.get(tuple(paths[:1])) == [b"two"]
    assert client.get([]) == []
    assert all(type(content) is bytes for content in client.get(paths))


SPELLINGS = ["tree", "tree/", "./tree/", "tree//", "tree/./", "tree/a/..", "{here}/tree/", "../{name}/tree"]


@pytest.mark.parametrize("prefix", SPELLINGS)
@pytest.mark.parametrize("root", SPELLINGS)
def test_prefixes_are_cut_however_spelled(tree: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, root: str) -> None:
    monkeypatch.chdir(tree)
    prefix, root = (text.format(here=tree, name=tree.name) for text in (prefix, root))
    assert FFRecordClient("tree.ffr", prefix).get(f"{root}/a/one.jpg") == b"one"
    assert FFRecordClient(Path("tree.ffr"), Path(prefix)).get(Path(root, "a//one.jpg")) == b"one"


def test_without_a_prefix_paths_are_the_archive_s(client: FFRecordClient) -> None:
    for path in ("a/one.jpg", "/a/one.jpg", "./a//one.jpg", "a/b/../one.jpg"):
        assert FFRecordClient("tree.ffr").get(path) == b"one"


@pytest.mark.parametrize(
    "start", ["ffrecord://{here}/tree.ffr/", "ffrecord:{here}/tree.ffr/", "{here}/tree.ffr/", "tree.ffr//"]
)
def test_one_client_without_an_archive_serves_all(client: FFRecordClient, tree: Path, start: str) -> None:
    anything = FFRecordClient()
    root = start.format(here=tree)
    assert anything.get(root + "a/one.jpg") == b"one"
    assert list(anything.list_dir_or_file(root, True, False)) == [".git", "a"]
    assert anything.isdir(root)
    assert not anything.exists(root.replace("tree.ffr", "other.ffr"))


def test_a_client_with_an_archive_takes_uris_of_others(client: FFRecordClient, data: Path) -> None:
    assert client.get(f"ffrecord://{data}/coco.ffr/{PHOTO}") == (data / "coco" / PHOTO).read_bytes()


def test_shards(tree: Path, tmp_path: Path) -> None:
    shards = sorted((Path(__file__).parents[1] / "data/vectors/sharded").glob("*.ffr"))
    for archive in (shards[0].parent, shards, [str(path) for path in shards]):
        names = list(FFRecordClient(archive).list_dir_or_file("", False, recursive=True))
        assert names
        assert all(FFRecordClient(archive).isfile(name) for name in names)


def test_pickles_as_its_arguments(client: FFRecordClient) -> None:
    client.get("tree/a/one.jpg")
    for twin in (pickle.loads(pickle.dumps(client)), copy.deepcopy(client)):
        assert (twin.fname, twin.path_prefix, twin.check_data) == ("tree.ffr", "tree", True)
        assert twin.get("tree/a/one.jpg") == b"one"
    assert len(pickle.dumps(client)) < 200


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers(client: FFRecordClient, method: str) -> None:
    client.get("tree/a/one.jpg")
    with get_context(method).Pool(2) as pool:
        assert pool.map(client.get, ["tree/a/one.jpg", "tree/a/two.png"] * 4) == [b"one", b"two"] * 4


def test_threads(data: Path) -> None:
    client = FFRecordClient(data / "coco.ffr", data / "coco")
    paths = sorted((data / "coco").rglob("*.jpg")) * 4
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(client.get, paths))
    assert contents == [path.read_bytes() for path in paths]


def test_clients_of_a_process_share_descriptors(data: Path) -> None:
    FFRecordClient(data / "coco.ffr").get(PHOTO)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        FFRecordClient(data / "coco.ffr").get(PHOTO)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_archive_is_opened_when_first_read(data: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    clients = [FFRecordClient(data / "ade.ffr", check_data=False) for _ in range(3)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert clients[0].exists("images")


def test_an_archive_packed_anew_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for content in (b"first", b"second"):
        (tmp_path / "tree/file").write_bytes(content)
        pack_folder(tmp_path / "tree", tmp_path / "tree.ffr")
        assert FFRecordClient(tmp_path / "tree.ffr").get("file") == content


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("put", (b"", "tree/x")),
        ("put_text", ("", "tree/x")),
        ("remove", ("tree/a/one.jpg",)),
        ("rmtree", ("tree/a",)),
        ("copyfile", ("tree/a/one.jpg", "tree/x")),
        ("copytree", ("tree/a", "tree/x")),
        ("copyfile_from_local", ("/etc/hostname", "tree/x")),
        ("copytree_from_local", ("/etc", "tree/x")),
        ("copy_if_symlink_fails", ("tree/a/one.jpg", "tree/x")),
    ],
)
def test_writing_is_refused(client: FFRecordClient, method: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ReadOnlyError, match="read-only"):
        getattr(client, method)(*arguments)


def maps_of_index(client: FFRecordClient) -> list[str]:
    """How this process has mapped the archive's index; runs in workers."""
    assert client.exists("000000")
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if "many.ffr" in line]


def test_workers_share_the_index_by_mapping_it(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(10_000):
        (tmp_path / f"many/{number:06d}").touch()
    pack_folder(tmp_path / "many", tmp_path / "many.ffr")
    client = FFRecordClient(tmp_path / "many.ffr")
    with get_context("spawn").Pool(2) as pool:
        for maps in pool.map(maps_of_index, [client] * 2, chunksize=1):
            assert maps
            assert all(line.split()[1] in ("r--s", "r--p") for line in maps), maps


@pytest.mark.parametrize("name", ["x" * 251 + ".jpg", "中" * 83 + ".jpg"])
def test_a_copy_of_a_file_whose_name_is_as_long_as_can_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / name).write_bytes(b"contents")
    pack_folder(tmp_path / "source", tmp_path / "a.ffr")
    with FFRecordClient(tmp_path / "a.ffr").get_local_path(name) as path:
        assert path.endswith(".jpg") and Path(path).read_bytes() == b"contents"
