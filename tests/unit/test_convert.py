"""Packing archives of other kinds: names, order and bytes are the source's, and what cannot be a file is named."""

import io
import os
import struct
import subprocess
import sys
import tarfile
import zipfile

import pytest

from ffrfs import ChecksumError, ConfigError, FileReader, PackedFolder, PackError
from ffrfs.archive.index_file import find_index_file
from ffrfs.archive.shards import Shards
from ffrfs.pack.convert import pack_sources
from ffrfs.pack.sources.opening import expand_shards
from ffrfs.pack.unpack import unpack
from tests.support.trees import content

# Not in the order of names, with a file larger than what is read at once, and a name that is not UTF-8.
FILES = {
    b"b/2.jpg": content(3000, 1),
    b"b/1.jpg": content(10, 2),
    b"a/large": content((5 << 20) + 7, 3),
    b"\xff name": content(20, 4),
    b"empty": b"",
    **{b"many/%03d" % number: content(number * 50, number) for number in range(100)},
}


def add(tar, name, data=b"", **fields):
    info = tarfile.TarInfo(name if isinstance(name, str) else os.fsdecode(name))
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


def write_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            add(tar, name, data)
    return path


def assert_packed(archive, files):
    """The archive has these files, their records in this order, and no others."""
    with PackedFolder(archive) as folder, FileReader(archive) as reader:
        assert folder.num_files() == len(files)
        for number, (name, data) in enumerate(files.items()):
            assert folder.read_one(name).tobytes() == data
            assert reader.read_one(number).tobytes() == data
        reader.validate()


@pytest.mark.parametrize(("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tar.bz2", "w:bz2")])
@pytest.mark.parametrize("jobs", [1, 4])
def test_tar(tmp_path, suffix, mode, jobs):
    source = write_tar(tmp_path / f"source{suffix}", FILES, mode)
    calls = []
    packed = pack_sources([source], tmp_path / "out.ffr", jobs=jobs, progress=lambda *counts: calls.append(counts))
    total = sum(map(len, FILES.values()))
    assert (packed.files, packed.size_bytes) == (len(FILES), total)
    assert calls[-1] == (len(FILES), total, len(FILES), total)
    assert_packed(tmp_path / "out.ffr", FILES)


def test_a_tar_of_gnu_tar_with_empty_folders_and_hard_links(tmp_path):
    folder = tmp_path / "folder"
    (folder / "empty/er").mkdir(parents=True)
    (folder / "first").write_bytes(b"data")
    os.link(folder / "first", folder / "second")
    subprocess.run(["tar", "-cf", tmp_path / "source.tar", "-C", folder, "--sort=name", "."], check=True)
    pack_sources([tmp_path / "source.tar"], tmp_path / "out.ffr")
    with PackedFolder(tmp_path / "out.ffr") as packed:
        assert packed.list(recursive=True)[:1] == ["empty"] and packed.is_dir("empty/er")
        assert packed.read_one("second").tobytes() == b"data"


def test_a_sparse_file_of_a_tar_is_packed_with_its_holes(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(3 << 20)
        file.write(b"begin")
    subprocess.run(["tar", "-cSf", tmp_path / "source.tar", "-C", tmp_path, "sparse"], check=True)
    pack_sources([tmp_path / "source.tar"], tmp_path / "out.ffr")
    assert_packed(tmp_path / "out.ffr", {b"sparse": (tmp_path / "sparse").read_bytes()})


def test_shards_of_webdataset_by_a_pattern(tmp_path):
    files = {b"%06d.%s" % (number, kind): content(number, number) for number in range(30) for kind in (b"cls", b"jpg")}
    names = list(files)
    for shard in range(3):
        part = names[shard * 20 : shard * 20 + 20]
        write_tar(tmp_path / f"shard-{shard:03d}.tar", {name: files[name] for name in part})
    pack_sources([tmp_path / "shard-{000..002}.tar"], tmp_path / "out.ffr")
    assert_packed(tmp_path / "out.ffr", files)


def test_patterns_of_shards(tmp_path):
    assert expand_shards("s-{000..002}.tar") == ["s-000.tar", "s-001.tar", "s-002.tar"]
    assert expand_shards("s-{8..10}.tar") == ["s-8.tar", "s-9.tar", "s-10.tar"]
    assert expand_shards("{0..1}/{0..1}") == ["0/0", "0/1", "1/0", "1/1"]
    literal = tmp_path / "s-{0..1}.tar"
    literal.touch()
    assert expand_shards(str(literal)) == [str(literal)]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip(tmp_path, method):
    files = {name: data for name, data in FILES.items() if name != b"\xff name"}
    files["ü/名前".encode()] = b"text"
    with zipfile.ZipFile(tmp_path / "source.zip", "w", method) as archive:
        archive.mkdir("nothing")
        for name, data in files.items():
            archive.writestr(name.decode(), data)
    pack_sources([tmp_path / "source.zip"], tmp_path / "out.ffr")
    assert_packed(tmp_path / "out.ffr", files)
    with PackedFolder(tmp_path / "out.ffr") as packed:
        assert packed.is_dir("nothing")


def test_the_names_of_a_zip_are_the_bytes_that_stand_in_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.writestr("plain?", b"x")
    source = tmp_path / "source.zip"
    source.write_bytes(source.read_bytes().replace(b"plain?", b"plain\xfc"))
    pack_sources([source], tmp_path / "out.ffr")
    assert_packed(tmp_path / "out.ffr", {b"plain\xfc": b"x"})


@pytest.mark.parametrize("subdir", [True, False])
def test_lmdb(tmp_path, subdir):
    lmdb = pytest.importorskip("lmdb")
    files = dict(sorted(FILES.items()))
    environment = lmdb.open(str(tmp_path / "source"), map_size=1 << 26, subdir=subdir)
    with environment, environment.begin(write=True) as transaction:
        for name, data in files.items():
            transaction.put(name, data)
    pack_sources([tmp_path / "source"], tmp_path / "out.ffr")
    assert_packed(tmp_path / "out.ffr", files)


def tfrecord(records):
    crc32c = pytest.importorskip("google_crc32c")

    def masked(data):
        value = crc32c.value(data)
        return struct.pack("<I", (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    lengths = [struct.pack("<Q", len(record)) for record in records]
    return b"".join(n + masked(n) + record + masked(record) for n, record in zip(lengths, records, strict=True))


def test_the_records_of_tfrecord_files_are_numbered(tmp_path):
    records = [content(number * 7, number) for number in range(120)]
    (tmp_path / "train-0").write_bytes(tfrecord(records[:50]))
    (tmp_path / "train-1").write_bytes(tfrecord(records[50:]))
    pack_sources([tmp_path / "train-{0..1}"], tmp_path / "out.ffr")
    assert_packed(tmp_path / "out.ffr", {b"%03d" % number: record for number, record in enumerate(records)})


def test_a_damaged_tfrecord_file(tmp_path):
    source, whole = tmp_path / "source.tfrecord", tfrecord([b"record"] * 3)
    source.write_bytes(whole[:40] + b"!" + whole[41:])
    with pytest.raises(PackError, match=r"source\.tfrecord: it is damaged: the record at byte 34"):
        pack_sources([source], tmp_path / "out.ffr")
    source.write_bytes(whole[:30])
    with pytest.raises(PackError, match="no record begins there"):
        pack_sources([source], tmp_path / "out.ffr")
    source.write_bytes(whole[:-6])
    with pytest.raises(PackError, match="in the middle of a file"):
        pack_sources([source], tmp_path / "out.ffr")
    assert not (tmp_path / "out.ffr").exists()


def write_parquet(path, columns):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path, row_group_size=50)
    return path


def test_images_of_parquet_files_of_hugging_face(tmp_path, caplog):
    images = [content(1000 + number, number) for number in range(300)]
    rows = [{"bytes": image, "path": f"{number}.jpg"} for number, image in enumerate(images)]
    source = write_parquet(tmp_path / "train.parquet", {"image": rows, "label": [0] * 300})
    pack_sources([source], tmp_path / "out.ffr")
    assert_packed(tmp_path / "out.ffr", {b"%d.jpg" % number: image for number, image in enumerate(images)})
    assert "the columns label are left out" in caplog.text


def test_several_columns_of_images_without_paths(tmp_path):
    source = write_parquet(
        tmp_path / "train.parquet",
        {"image": [{"bytes": b"i%d" % n, "path": None} for n in range(3)], "mask": [b"m%d" % n for n in range(3)]},
    )
    pack_sources([source], tmp_path / "out.ffr")
    expected = {b"%s/%d" % (column, n): b"%c%d" % (column[0], n) for n in range(3) for column in (b"image", b"mask")}
    assert_packed(tmp_path / "out.ffr", expected)


def test_parquet_files_without_images(tmp_path):
    with pytest.raises(PackError, match="no column of images"):
        pack_sources([write_parquet(tmp_path / "a.parquet", {"label": [1]})], tmp_path / "out.ffr")
    rows = [{"bytes": b"x", "path": "x"}, {"bytes": None, "path": "elsewhere.jpg"}]
    with pytest.raises(PackError, match="row 1 has no bytes in column image"):
        pack_sources([write_parquet(tmp_path / "b.parquet", {"image": rows})], tmp_path / "out.ffr")


@pytest.mark.parametrize("options", [{"shards": 3}, {"shard_bytes": 1 << 20}])
def test_into_shards(tmp_path, options):
    source = write_tar(tmp_path / "source.tar", FILES)
    packed = pack_sources([source], tmp_path / "out", **options)
    assert len(packed.archives) >= 3
    assert_packed(tmp_path / "out", FILES)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("link", {"type": tarfile.SYMTYPE, "linkname": "a"}, "link is a symlink"),
        ("pipe", {"type": tarfile.FIFOTYPE}, "pipe is a FIFO"),
        ("hard", {"type": tarfile.LNKTYPE, "linkname": "none"}, "hard is a hard link to none, which is not in it"),
        ("a/../b", {}, r"b'a/../b' is not a valid file name"),
        ("x" * 256, {}, "is not a valid file name"),
        ("file", {}, "file is there twice"),
        ("file/below", {}, "file/below: 'file' is a file and a directory at once"),
        ("folder", {}, "folder is there twice"),
    ],
)
def test_what_cannot_be_a_file_is_named(tmp_path, name, fields, message):
    with tarfile.open(tmp_path / "source.tar", "w") as tar:
        add(tar, "file", b"x")
        add(tar, "folder/x", b"x")
        add(tar, name, **fields)
    with pytest.raises(PackError, match=message):
        pack_sources([tmp_path / "source.tar"], tmp_path / "out.ffr")
    assert sorted(os.listdir(tmp_path)) == ["source.tar"]


def test_symlinks_can_be_left_out(tmp_path):
    with tarfile.open(tmp_path / "source.tar", "w") as tar:
        add(tar, "file", b"x")
        add(tar, "link", type=tarfile.SYMTYPE, linkname="file")
    pack_sources([tmp_path / "source.tar"], tmp_path / "out.ffr", symlinks="skip")
    assert_packed(tmp_path / "out.ffr", {b"file": b"x"})


def test_an_encrypted_file_of_a_zip_is_named(tmp_path):
    source = tmp_path / "source.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("secret", b"x")
    whole = bytearray(source.read_bytes())
    whole[6] |= 1
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(whole)
    with pytest.raises(PackError, match="secret is encrypted"):
        pack_sources([source], tmp_path / "out.ffr")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_damaged_tar_is_an_error_and_not_the_end(tmp_path, mode):
    """tarfile takes a header that it cannot read for the end."""
    source = write_tar(tmp_path / "source", {b"first": b"x", b"second": b"y", b"third": b"z"})
    whole = bytearray(source.read_bytes())
    whole[1024] ^= 1  # in the name of the second file
    source.write_bytes(whole)
    if mode == "w:gz":
        subprocess.run(["gzip", source], check=True)
        source = tmp_path / "source.gz"
    with pytest.raises(PackError, match="cannot be read"):
        pack_sources([source], tmp_path / "out.ffr")
    assert not (tmp_path / "out.ffr").exists()


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "zip"])
def test_a_source_that_was_cut_short(tmp_path, suffix):
    source = tmp_path / f"source.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("x", content(100_000))
    else:
        write_tar(source, {b"x": content(100_000)}, "w:gz" if suffix == "tar.gz" else "w")
    os.truncate(source, 50_000)
    with pytest.raises(PackError, match=f"source.{suffix}"):
        pack_sources([source], tmp_path / "out.ffr")


def test_a_damaged_file_of_a_zip(tmp_path):
    source = tmp_path / "source.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("x", b"contents")
    source.write_bytes(source.read_bytes().replace(b"contents", b"contentz"))
    with pytest.raises(PackError, match=r"source\.zip: it cannot be read: Bad CRC-32"):
        pack_sources([source], tmp_path / "out.ffr")


def test_what_is_no_source(tmp_path):
    (tmp_path / "text").write_text("text")
    with pytest.raises(PackError, match="neither a folder nor a tar"):
        pack_sources([tmp_path / "text"], tmp_path / "out.ffr")
    with pytest.raises(ConfigError, match="pack it alone"):
        pack_sources([tmp_path], tmp_path / "out.ffr")
    with pytest.raises(FileNotFoundError, match="missing"):
        pack_sources([tmp_path / "missing"], tmp_path / "out.ffr")


def test_a_source_that_changes_meanwhile(tmp_path):
    source = write_tar(tmp_path / "source.tar", FILES)

    def change(*counts):
        if counts[0] == 1:
            os.utime(source)

    with pytest.raises(PackError, match="it changed while it was packed"):
        pack_sources([source], tmp_path / "out.ffr", progress=change)
    assert not (tmp_path / "out.ffr").exists()


def test_a_deep_tree(tmp_path):
    name = b"/".join([b"d"] * 1500) + b"/file"
    pack_sources([write_tar(tmp_path / "source.tar", {name: b"x"})], tmp_path / "out.ffr")
    with PackedFolder(tmp_path / "out.ffr") as packed:
        assert packed.num_files() == 1
    name = b"/".join([b"d"] * 2100) + b"/file"
    with pytest.raises(PackError, match="2100 directories deep"):
        pack_sources([write_tar(tmp_path / "source.tar", {name: b"x"})], tmp_path / "out.ffr")


def test_the_command(tmp_path):
    write_tar(tmp_path / "a.tar", {b"a": b"1"})
    write_tar(tmp_path / "b.tar", {b"b": b"22"})
    command = [sys.executable, "-m", "ffrfs", "pack", "-v", "a.tar", "b.tar", "out.ffr"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == ["a.tar: a", "b.tar: b", "out.ffr: 2 files, 3 bytes"]
    assert_packed(tmp_path / "out.ffr", {b"a": b"1", b"b": b"22"})


def test_unpacking_to_a_tar(tmp_path):
    """What was packed, in the order of names; and packing that tar gives the same archive again."""
    files = {**FILES, b"l" * 120 + b"/" + b"n" * 200: b"a long name"}
    with tarfile.open(tmp_path / "source.tar", "w") as tar:
        add(tar, "empty-folder", type=tarfile.DIRTYPE)
        for name, data in files.items():
            add(tar, name, data)
    pack_sources([tmp_path / "source.tar"], tmp_path / "a.ffr")
    unpacked = unpack(tmp_path / "a.ffr", tmp_path / "out.tar", to="tar")
    assert unpacked.files == len(files)
    with tarfile.open(tmp_path / "out.tar") as tar:
        found = {info.name: info for info in tar}
        data = {os.fsencode(name): tar.extractfile(info).read() for name, info in found.items() if info.isfile()}
    assert data == files and list(data) == sorted(data)
    assert found["empty-folder"].isdir() and found["many/001"].mode == 0o644
    listed = subprocess.run(["tar", "-tf", tmp_path / "out.tar"], capture_output=True, check=True).stdout
    assert len(listed.splitlines()) == len(found)
    pack_sources([tmp_path / "out.tar"], tmp_path / "b.ffr")
    with PackedFolder(tmp_path / "a.ffr") as a, PackedFolder(tmp_path / "b.ffr") as b:
        assert sorted(map(str, a.list(recursive=True))) == sorted(map(str, b.list(recursive=True)))


def test_a_tar_that_exists_is_replaced_with_force_only(tmp_path):
    pack_sources([write_tar(tmp_path / "source.tar", {b"x": b"data"})], tmp_path / "a.ffr")
    with pytest.raises(FileExistsError, match=r"source\.tar"):
        unpack(tmp_path / "a.ffr", tmp_path / "source.tar", to="tar")
    unpack(tmp_path / "a.ffr", tmp_path / "source.tar", force=True, to="tar")
    with tarfile.open(tmp_path / "source.tar") as tar:
        assert tar.getnames() == ["x"]


def test_a_damaged_archive_leaves_no_tar(tmp_path):
    pack_sources([write_tar(tmp_path / "source.tar", {b"x": b"the data"})], tmp_path / "a.ffr")
    whole = (tmp_path / "a.ffr").read_bytes()
    (tmp_path / "a.ffr").write_bytes(whole.replace(b"the data", b"the date"))
    with pytest.raises(ChecksumError):
        unpack(tmp_path / "a.ffr", tmp_path / "out.tar", to="tar")
    assert sorted(os.listdir(tmp_path)) == ["a.ffr", "source.tar"]


@pytest.mark.parametrize("sharding", [[], ["--shard-size", "2MiB"]])
def test_the_command_keeps_an_index_with_the_checksums_of_chunks(tmp_path, sharding):
    write_tar(tmp_path / "a.tar", {**FILES, b"another large one": content(3 << 20)})
    out = tmp_path / ("out" if sharding else "out.ffr")
    ran = subprocess.run(
        [sys.executable, "-m", "ffrfs", "pack", *sharding, tmp_path / "a.tar", out], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    shards = Shards(out)
    _, index = find_index_file(shards)
    chunks = index.chunks
    assert len(chunks.large) == 2 and index.arrays["chunks_known"].all()
    assert chunks.combined(index.arrays["chunk_checksums"]).tolist() == index.records.checksums[chunks.large].tolist()
    shards.close()
