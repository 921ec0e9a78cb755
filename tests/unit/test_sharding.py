"""Packing into shards: how records are split, and that all shards appear or none."""

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffrfs import ConfigError, FileReader, PackedFolder, PackError, pack_folder
from ffrfs.format.header import header_bytes
from ffrfs.pack.progress import Tally
from ffrfs.pack.scan import scan_folder
from ffrfs.pack.shards import MAX_SHARDS, pack_shards, split_evenly, split_to_size
from ffrfs.pack.unpack import unpack

VECTORS = Path(__file__).parent.parent / "data" / "vectors"
SIZES = st.lists(st.integers(0, 1000), min_size=1, max_size=60)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    for number in range(40):
        path = folder / f"d{number % 4}" / f"{number:02d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 50))
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def records(archive):
    with FileReader(archive) as reader:
        return [data.tobytes() for data in reader.read(range(reader.n))]


def test_the_reference_shards_are_packed_again_byte_for_byte(tmp_path, out):
    unpack(VECTORS / "sharded", tmp_path / "source")
    packed = pack_folder(tmp_path / "source", out, shards=3)
    names = ["PART_00000.ffr", "PART_00001.ffr", "PART_00002.ffr"]
    assert sorted(os.listdir(out)) == names
    assert packed.archives == [str(out / name) for name in names]
    for name in names:
        assert (out / name).read_bytes() == (VECTORS / "sharded" / name).read_bytes()


@settings(deadline=None)  # a busy machine is no error
@given(SIZES, st.integers(1, 80))
def test_even_shards_cover_all_records_and_have_at_least_one(sizes, shards):
    ends = split_evenly(sizes, shards)
    assert len(ends) == min(shards, len(sizes))
    assert ends[-1] == len(sizes)
    assert all(begin < end for begin, end in zip([0, *ends], ends, strict=False))


@settings(deadline=None)  # a busy machine is no error
@given(SIZES, st.integers(1, 60))
def test_even_shards_exceed_their_share_by_less_than_a_record(sizes, shards):
    ends = split_evenly(sizes, shards)
    heaviest = max(sum(sizes[begin:end]) for begin, end in zip([0, *ends], ends, strict=False))
    assert heaviest <= sum(sizes) / len(ends) + max(sizes)


@settings(deadline=None)  # a busy machine is no error
@given(st.integers(1, 200), st.integers(1, 30))
def test_records_of_one_size_are_dealt_out_as_evenly_as_can_be(n, shards):
    ends = split_evenly([100] * n, shards)
    counts = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    assert max(counts) - min(counts) <= 1


@settings(deadline=None)  # a busy machine is no error
@given(SIZES, st.integers(1, 3000))
def test_shards_of_a_size_are_not_larger_and_as_few_as_in_order_they_can_be(sizes, shard_bytes):
    ends = split_to_size(sizes, shard_bytes)
    assert ends[-1] == len(sizes)
    spans = list(zip([0, *ends], ends, strict=False))
    size = {(begin, end): header_bytes(end - begin) + sum(sizes[begin:end]) for begin, end in spans}
    assert all(size[span] <= shard_bytes or span[1] - span[0] == 1 for span in spans)
    for begin, end in spans[:-1]:
        assert header_bytes(end - begin + 1) + sum(sizes[begin : end + 1]) > shard_bytes


@pytest.mark.parametrize("options", [{"shards": 1}, {"shards": 5}, {"shards": 1000}, {"shard_bytes": 5000}])
def test_shards_hold_the_records_of_the_single_archive(source, out, tmp_path, options):
    pack_folder(source, tmp_path / "single.ffr")
    packed = pack_folder(source, out, **options)
    assert records(out) == records(tmp_path / "single.ffr")
    assert len(packed.archives) == len(os.listdir(out))
    if "shard_bytes" in options:
        assert all(os.path.getsize(path) <= 5000 for path in packed.archives)
    with PackedFolder(out) as folder:
        assert folder.num_files() == 40


def test_an_empty_folder_in_shards(tmp_path, out):
    (tmp_path / "empty").mkdir()
    pack_folder(tmp_path / "empty", out, shards=3)
    with PackedFolder(out) as folder:
        assert folder.list() == []


@pytest.mark.parametrize("jobs", [1, 3])
def test_any_number_of_jobs_writes_the_same(source, out, tmp_path, jobs):
    pack_folder(source, out, shards=6, jobs=jobs)
    pack_folder(source, tmp_path / "again", shards=6)
    assert sorted(os.listdir(out)) == sorted(os.listdir(tmp_path / "again"))
    assert all((out / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in os.listdir(out))


def test_an_executor_of_other_processes_writes_the_same(source, out, tmp_path):
    calls = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        packed = pack_folder(source, out, shards=4, executor=executor, progress=lambda *counts: calls.append(counts))
    pack_folder(source, tmp_path / "single.ffr")
    assert records(out) == records(tmp_path / "single.ffr")
    assert calls[-1] == (40, packed.size_bytes) * 2


def test_progress_counts_up_to_the_totals(source, out):
    calls = []
    packed = pack_folder(source, out, shards=4, progress=lambda *counts: calls.append(counts))
    assert calls == sorted(calls)
    assert calls[-1] == (40, packed.size_bytes) * 2


def vanish_at_first_call(path):
    def progress(*counts):
        path.unlink(missing_ok=True)

    return progress


def test_a_shard_that_fails_leaves_none(source, out):
    with pytest.raises(PackError, match="d3/39: it vanished"):
        pack_folder(source, out, shards=8, progress=vanish_at_first_call(source / "d3" / "39"))
    assert not out.exists()


def test_nor_with_an_executor(source, out):
    with ThreadPoolExecutor(2) as executor, pytest.raises(PackError, match="d3/39: it vanished"):
        pack_folder(source, out, shards=8, executor=executor, progress=vanish_at_first_call(source / "d3" / "39"))
    assert not out.exists()


def test_an_error_from_another_process_arrives_as_it_is(source, out):
    vanish = vanish_at_first_call(source / "d0" / "00")
    executor = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with executor, pytest.raises(PackError, match="d0/00: it vanished") as error:
        pack_folder(source, out, shards=2, executor=executor, progress=vanish)
    assert error.value.path == str(source / "d0" / "00")
    assert not out.exists()


def test_a_folder_that_was_there_stays_after_a_failure(source, out):
    out.mkdir()
    (out / "notes.txt").touch()
    with pytest.raises(PackError):
        pack_folder(source, out, shards=2, progress=vanish_at_first_call(source / "d0" / "00"))
    assert os.listdir(out) == ["notes.txt"]
    pack_folder(source, out, shards=2)
    assert sorted(os.listdir(out)) == ["PART_00000.ffr", "PART_00001.ffr", "notes.txt"]


def test_a_folder_with_shards_is_refused(source, out):
    pack_folder(source, out, shards=2)
    with pytest.raises(PackError, match=r"it has PART_0000\d\.ffr in it"):
        pack_folder(source, out, shards=2)
    assert len(os.listdir(out)) == 2


def test_litter_of_a_killed_packer_is_removed(source, out):
    litter = out / ".shards.0123456789abcdef.tmp"
    litter.mkdir(parents=True)
    (litter / "PART_00000.ffr").touch()
    (litter / ".temporary").touch(0o1600)  # as the packer makes it
    pack_folder(source, out, shards=2)
    assert sorted(os.listdir(out)) == ["PART_00000.ffr", "PART_00001.ffr"]


@pytest.mark.parametrize("inside", [".", "d0", "new"])
def test_the_shards_cannot_be_in_the_folder_that_they_pack(source, inside):
    before = sorted(os.listdir(source))
    with pytest.raises(PackError, match="written into the folder that it packs"):
        pack_folder(source, source / inside, shards=2)
    assert sorted(os.listdir(source)) == before


def test_more_shards_than_names_are_refused(source, out):
    tree = scan_folder(str(source))
    with pytest.raises(ConfigError, match="100001 shards are too many"):
        pack_shards(tree, b"", list(range(1, MAX_SHARDS + 2)), str(out), True, None, 1, Tally(None, 0, 0))
    assert not out.exists()


def test_verbose_prints_a_line_for_each_shard(source, out, capsys):
    pack_folder(source, out, verbose=True, shards=2)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{out}/PART_00000.ffr: ")
    assert second.startswith(f"{out}/PART_00001.ffr: ")
