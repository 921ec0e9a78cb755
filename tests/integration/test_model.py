"""A mount and the in-process reader against the real directory that was packed: whatever is asked, all three agree.

hypothesis makes a tree, which is packed and mounted, and a sequence of operations on it. FFRFS_MODEL_EXAMPLES says how
many trees it tries, each with STEPS operations; `make soak` tries many.
"""

import contextlib
import errno
import mmap
import os
import pickle
import random
import stat
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ffrfs import PackedFolder, pack_folder
from tests.support.archives import files_of, write_tree
from tests.support.cache import DROP_CACHES, drop
from tests.support.directories import Directory
from tests.support.mounts import mounted
from tests.support.trees import EDGE_SIZES, content

EXAMPLES = int(os.environ.get("FFRFS_MODEL_EXAMPLES", "12"))
STEPS = 200
SECONDS_EACH = 20  # for pytest's timeout: an example, or one of those that hypothesis tries when it has found something
MAX_OPEN = 16  # handles, and listings
FAR_BYTES = 4 << 20  # beyond the end of every file


def legal(name):
    """A name that a directory can have, made from any bytes."""
    name = name.translate(bytes.maketrans(b"\0/", b"\1\\"))
    return b"..." if name in (b".", b"..") else name


NAMES = st.one_of(
    st.sampled_from([b"a", b"b", b"A", b"-", b" ", b"...", b".ffrfs", b"\xff\xfe", "é".encode(), b"x" * 255]),
    st.binary(min_size=1, max_size=8).map(legal),
    st.binary(min_size=250, max_size=255).map(legal),
)
SIZES = st.one_of(st.sampled_from(EDGE_SIZES), st.integers(0, 20_000), st.integers(0, 400_000))
FILES = st.builds(content, SIZES, st.integers(0, 2))


def wide(width):
    """So many small files."""
    return {b"%d" % number: b"%d" % number for number in range(width)}


def nested(tree, levels, name):
    """The tree at the bottom of so many directories in each other."""
    for _ in range(levels):
        tree = {name[:16]: tree}
    return tree


FOLDERS = st.recursive(FILES, lambda below: st.dictionaries(NAMES, below, max_size=6), max_leaves=16)
DEEP = st.builds(nested, FOLDERS, st.integers(1, 60), NAMES)
ANY = st.dictionaries(NAMES, st.one_of(FILES, FOLDERS, DEEP, st.integers(0, 100).map(wide)), max_size=8)
# Half of the trees reach every limit: of a READ, of readahead, of a page of names.
LARGE = st.lists(st.builds(content, st.sampled_from(EDGE_SIZES[-12:]), st.integers(3, 5)), min_size=1, max_size=4)
LIMITS = st.builds(
    lambda tree, large, wide: {**tree, **{b"large %d" % number: file for number, file in enumerate(large)}, b"w": wide},
    *(ANY, LARGE, st.one_of(st.just(1500), st.integers(0, 700)).map(wide)),
)
TREES = st.one_of(LIMITS, ANY)

# Which of the files, directories or handles there are: a number of any size stands for one of them.
WHICH = st.integers(0, 999)
OFFSETS = st.one_of(st.sampled_from(EDGE_SIZES), st.integers(0, 20_000), st.integers(0, FAR_BYTES))
LENGTHS = st.one_of(st.sampled_from([0, 1, 4096, 131_072, FAR_BYTES]), st.integers(0, 300_000))


def directories_of(tree, above=b""):
    """Path and names of the root and of every directory below it."""
    yield above, sorted(tree)
    for name, below in tree.items():
        if isinstance(below, dict):
            yield from directories_of(below, os.path.join(above, name))


def one_of(those, which):
    """One of them for any number."""
    return those[which % len(those)]


def outcome(call, *arguments):
    """What a call returns, or the errno that it raises."""
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


@dataclass
class Handle:
    """A file that is open in the mount and in the folder."""

    contents: bytes
    shown: int
    real: int

    def close(self):
        os.close(self.shown)
        os.close(self.real)


@dataclass
class Listing:
    """A directory of the mount that is being listed. Attributes: names, all that it has; at, how many have come;
    places, where the stream can go back to, and what `at` was there."""

    names: list[bytes]
    stream: Directory
    at: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)


class Model(RuleBasedStateMachine):
    """The three, and what is open. Args: workers, of the mount."""

    def __init__(self, workers):
        super().__init__()
        self._workers = workers
        self._cleanup = contextlib.ExitStack()
        self._handles, self._listings = [], []

    @initialize(tree=TREES)
    def begin(self, tree):
        base = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
        self._real, self._archive = write_tree(base / "folder", tree), base / "a.ffr"
        pack_folder(self._real, self._archive)
        self._mount = self._cleanup.enter_context(mounted(self._archive, base, f"workers={self._workers}")).path
        self._reader = self._cleanup.enter_context(PackedFolder(self._archive))
        self._files, self._directories = list(files_of(tree)), list(directories_of(tree))

    def teardown(self):
        for handle in self._handles:
            handle.close()
        for listing in self._listings:
            listing.stream.close()
        self._cleanup.close()

    def _both(self, path):
        """The path in the mount, and in the folder."""
        return os.path.join(os.fsencode(self._mount), path), os.path.join(os.fsencode(self._real), path)

    @precondition(lambda self: self._files and len(self._handles) < MAX_OPEN)
    @rule(which=WHICH)
    def open(self, which):
        path, contents = one_of(self._files, which)
        self._handles.append(Handle(contents, *(os.open(name, os.O_RDONLY) for name in self._both(path))))

    @precondition(lambda self: len(self._handles) > MAX_OPEN // 2)
    @rule(which=WHICH)
    def close(self, which):
        self._handles.pop(which % len(self._handles)).close()

    @precondition(lambda self: self._handles)
    @rule(which=WHICH, offset=OFFSETS, length=LENGTHS)
    def pread(self, which, offset, length):
        handle = one_of(self._handles, which)
        for fd in (handle.shown, handle.real):
            assert os.pread(fd, length, offset) == handle.contents[offset : offset + length]

    @precondition(lambda self: self._handles)
    @rule(which=WHICH, offset=OFFSETS, length=LENGTHS)
    def seek_and_read(self, which, offset, length):
        handle = one_of(self._handles, which)
        for fd in (handle.shown, handle.real):
            assert os.lseek(fd, offset, os.SEEK_SET) == offset
            assert os.read(fd, length) == handle.contents[offset : offset + length]
            assert os.lseek(fd, 0, os.SEEK_END) == len(handle.contents)

    @precondition(lambda self: self._handles)
    @rule(which=WHICH, offset=OFFSETS, length=LENGTHS, flags=st.sampled_from([mmap.MAP_SHARED, mmap.MAP_PRIVATE]))
    def map(self, which, offset, length, flags):
        handle = one_of(self._handles, which)
        if not handle.contents:
            return  # which cannot be mapped, anywhere
        begin = offset % len(handle.contents) // mmap.PAGESIZE * mmap.PAGESIZE
        rest = handle.contents[begin:]
        at = length % len(rest)
        for fd in (handle.shown, handle.real):
            with mmap.mmap(fd, len(rest), flags=flags, prot=mmap.PROT_READ, offset=begin) as view:
                assert view[at : at + length] == rest[at : at + length]

    @precondition(lambda self: self._files)
    @rule(which=WHICH)
    def read_whole(self, which):
        path, contents = one_of(self._files, which)
        for name in self._both(path):
            assert Path(os.fsdecode(name)).read_bytes() == contents
        assert self._reader.read_one(path).tobytes() == contents

    @precondition(lambda self: self._files)
    @rule(which=st.lists(WHICH, max_size=12))
    def read_batch(self, which):
        wanted = [one_of(self._files, number) for number in which]
        received = self._reader.read([path for path, _ in wanted])
        assert [array.tobytes() for array in received] == [contents for _, contents in wanted]

    @rule(which=WHICH)
    def list(self, which):
        path, names = one_of(self._directories, which)
        shown, real = self._both(path)
        assert os.listdir(shown) == names
        assert sorted(os.listdir(real)) == names
        packed = sorted(names, key=lambda name: name.decode("utf-8", "surrogateescape"))  # the order of the archive
        assert [os.fsencode(name) for name in self._reader.list(path)] == packed

    @precondition(lambda self: len(self._listings) < MAX_OPEN)
    @rule(which=WHICH)
    def begin_listing(self, which):
        path, names = one_of(self._directories, which)
        self._listings.append(Listing([b".", b"..", *names], Directory(self._both(path)[0])))

    @precondition(lambda self: self._listings)
    @rule(which=WHICH, count=st.one_of(st.integers(0, 5), st.integers(0, 800)))
    def go_on_listing(self, which, count):
        listing = one_of(self._listings, which)
        listing.places.append((listing.stream.tell(), listing.at))
        assert listing.stream.names(count) == listing.names[listing.at : listing.at + count]
        listing.at = min(listing.at + count, len(listing.names))

    @precondition(lambda self: any(listing.places for listing in self._listings))
    @rule(which=WHICH, place=WHICH)
    def go_back_in_listing(self, which, place):
        listing = one_of([listing for listing in self._listings if listing.places], which)
        cookie, listing.at = one_of(listing.places, place)
        listing.stream.seek(cookie)

    @rule(which=WHICH)
    def stat(self, which):
        path, below = one_of([*self._files, *self._directories], which)
        shown, real = map(os.stat, self._both(path))
        is_file = isinstance(below, bytes)
        assert stat.S_IFMT(shown.st_mode) == stat.S_IFMT(real.st_mode) == (stat.S_IFREG if is_file else stat.S_IFDIR)
        assert (self._reader.exists(path), self._reader.is_file(path), self._reader.is_dir(path)) == (
            True,
            is_file,
            not is_file,
        )
        if is_file:
            assert shown.st_size == real.st_size == self._reader.size(path) == len(below)

    @rule(which=WHICH, name=NAMES)
    def look_for(self, which, name):
        """A name that perhaps is not there, in a directory or through a file."""
        above, _ = one_of([*self._files, *self._directories], which)
        path = os.path.join(above, name)
        if path == b".ffrfs":  # the statistics, which the mount alone has
            return
        shown, real = (outcome(lambda name=name: stat.S_IFMT(os.stat(name).st_mode)) for name in self._both(path))
        assert shown == real
        inode = outcome(self._reader.inode, path)
        assert inode == real if isinstance(real, str) else isinstance(inode, int)

    @precondition(lambda self: self._files)
    @rule(seed=WHICH, which=WHICH)
    def read_by_many(self, seed, which):
        """Threads with descriptors of their own, at the same few files; and processes, at a whole directory."""

        def read_pieces(number):
            numbers = random.Random(seed * 100 + number)
            for _ in range(5):
                path, contents = numbers.choice(self._files[: seed % 5 + 1])
                with open(self._both(path)[0], "rb", buffering=0) as file:
                    at, length = numbers.randrange(len(contents) + 1), numbers.randrange(300_000)
                    assert os.pread(file.fileno(), length, at) == contents[at : at + length]
                    assert self._reader.read_one(path).tobytes() == contents

        shown, real = self._both(one_of(self._directories, which)[0])
        comparing = [subprocess.Popen(["diff", "-r", real, shown]) for _ in range(2)]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(read_pieces, range(6)))
        assert [process.wait(60) for process in comparing] == [0, 0]

    @rule(what=st.sampled_from(["archive", "file", "everything"]), which=WHICH)
    def forget(self, what, which):
        """Have the kernel drop cached data; of everything, names and attributes too."""
        if what == "archive":
            drop(self._archive)
        elif what == "file" and self._files:
            drop(Path(os.fsdecode(self._both(one_of(self._files, which)[0])[0])))
        elif what == "everything" and os.access(DROP_CACHES, os.W_OK):
            DROP_CACHES.write_text("3")

    @rule()
    def open_reader_anew(self):
        self._reader = self._cleanup.enter_context(pickle.loads(pickle.dumps(self._reader)))


@pytest.mark.semantics("model")
@pytest.mark.timeout(120 + SECONDS_EACH * EXAMPLES)
def test_mount_reader_and_folder_agree(fuse, workers):
    run_state_machine_as_test(
        lambda: Model(workers),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
