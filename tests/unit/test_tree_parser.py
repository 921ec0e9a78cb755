"""The tree of a packed folder: every pickle that Python writes of one is read, and nothing else."""

import contextlib
import pickle
import random
from collections import OrderedDict

import numpy as np
import pytest

from ffrfs.errors import FormatError
from ffrfs.format.tree import MAX_DEPTH, numbered_tree, parse_tree


def as_dict(tree):
    """The nested dicts that a `Tree` stands for, names as bytes."""
    folders = [{} for _ in range(tree.directories)]
    text = tree.text.tobytes()
    for e in range(len(tree.owner)):
        name = text[tree.starts[e] : tree.starts[e] + tree.lengths[e]]
        record = int(tree.records[e])
        folders[tree.owner[e]][name] = folders[-1 - record] if record < 0 else record
    return folders[0]


def as_bytes(structure):
    return {
        name.encode("utf-8", "surrogateescape"): as_bytes(value) if isinstance(value, dict) else value
        for name, value in structure.items()
    }


def parse(blob, n_records=1 << 31):
    return parse_tree("x.ffr", blob, 0, n_records, 0)


def random_structure(random_numbers, depth=0):
    structure = OrderedDict()
    for _ in range(random_numbers.choice([0, 1, 2, 3, 40, 1100 if depth == 1 else 5])):
        name = "".join(random_numbers.choices("ab.é\udcff\U0001f600x", k=random_numbers.randint(1, 9)))
        if depth < 5 and random_numbers.random() < 0.2:
            structure[name] = random_structure(random_numbers, depth + 1)
        else:
            structure[name] = random_numbers.choice([0, 255, 256, 65535, 65536, 2**31 - 2])
    return structure


def regular_structure(random_numbers):
    """Long runs of names of one length and numbers of one size, which now and then are not."""
    structure, first = OrderedDict(), random_numbers.choice([0, 200, 65_000, 2**31 - 5_000])
    for directory in range(random_numbers.randint(1, 4)):
        files = structure[f"n{directory}"] = OrderedDict()
        other = random_numbers.sample(range(3000), random_numbers.choice([0, 1, 100]))
        for number in range(random_numbers.choice([31, 32, 33, 65, 999, 1000, 2500])):
            # Their bytes are opcodes too; the last ones are not UTF-8.
            ending = random_numbers.choice(["j", "\x94", "\x8c", "\udced\udca0"]) if number in other else ""
            files[f"img_{number:05d}{ending}"] = first + number
            if number in other and random_numbers.random() < 0.1:
                files[f"dir_{number:05d}"] = OrderedDict()
    return structure


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("seed", range(30))
def test_long_runs_of_files_that_are_alike_are_read(protocol, seed):
    structure = regular_structure(random.Random(seed))
    assert as_dict(parse(pickle.dumps(structure, protocol))) == as_bytes(structure)


def test_a_run_of_files_that_are_alike_may_end_anywhere_with_an_error():
    blob = pickle.dumps(OrderedDict((f"img_{number:05d}", 70_000 + number) for number in range(200)), 4)
    for end in range(len(blob)):
        with pytest.raises(FormatError):
            parse(blob[:end])
    for at in random.Random(0).sample(range(len(blob)), 500):
        changed = bytearray(blob)
        changed[at] ^= 0xFF
        with contextlib.suppress(FormatError):  # one in a name or a number still is a tree
            assert len(parse(bytes(changed)).owner) == 200


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(20))
def test_what_python_pickles_is_read(protocol, seed):
    structure = random_structure(random.Random(seed))
    assert as_dict(parse(pickle.dumps(structure, protocol))) == as_bytes(structure)


def test_names_that_are_one_object_in_many_directories():
    name = "same.jpg"
    structure = OrderedDict((f"d{i}", OrderedDict([(name, i), ("b", i)])) for i in range(300))
    assert as_dict(parse(pickle.dumps(structure, 4))) == as_bytes(structure)


def test_a_plain_archive_is_numbered_files():
    tree = numbered_tree(11)
    assert as_dict(tree) == {b"%02d" % i: i for i in range(11)}
    assert as_dict(numbered_tree(0)) == {}


def shared():
    inner = OrderedDict(a=1)
    return OrderedDict(x=inner, y=inner)


def cyclic():
    outer = OrderedDict()
    outer["x"] = outer
    return outer


def deep():
    """Written by hand, since pickle itself does not go as deep."""
    opening = b"ccollections\nOrderedDict\n)RX\x01\x00\x00\x00a"
    levels = MAX_DEPTH + 2
    return b"\x80\x02" + opening * levels + b"K\x00" + b"s" * levels + b"."


REFUSED = {
    "a list": [1],
    "a plain dict": {"a": 1},
    "a number": 7,
    "a bool": OrderedDict(a=True),
    "a float": OrderedDict(a=1.0),
    "None": OrderedDict(a=None),
    "a key that is a number": OrderedDict([(1, 1)]),
    "a key that is bytes": OrderedDict([(b"a", 1)]),
    "a list as value": OrderedDict(a=[1]),
    "a shared directory": shared(),
    "a cycle": cyclic(),
    "a negative number": OrderedDict(a=-1),
    "a number past the end": OrderedDict(a=2**31),
    "a very long number": OrderedDict(a=2**70),
    "code": b"cos\nsystem\n(S'true'\ntR.",
    "code by the newer opcode": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "the class alone": b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93.",
    "a memo far away": b"\x80\x02ccollections\nOrderedDict\nr\xff\xff\xff\x7f)R.",
    "an instance's state": b"\x80\x02ccollections\nOrderedDict\n)R}b.",
    "a name without an end": b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R(X\xff\xff\xff\x7fab",
    "nothing": b"",
    "more after the end": pickle.dumps(OrderedDict(a=1)) + b"x",
    "the last byte missing": pickle.dumps(OrderedDict(a=1))[:-1],
    "too deep": deep(),
    "a name without a directory": b"\x80\x04\x8c\x01aK\x01.",
}


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused(case):
    blob = REFUSED[case]
    with pytest.raises(FormatError, match=r"^x\.ffr: its tree of names is wrong: "):
        parse(blob if isinstance(blob, bytes) else pickle.dumps(blob, 4), 1000)


@pytest.mark.parametrize("seed", range(3))
def test_damage_never_gives_another_error(seed):
    random_numbers = np.random.default_rng(seed)
    whole = pickle.dumps(random_structure(random.Random(seed)), 4)
    for _ in range(300):
        blob = bytearray(whole)
        for at in random_numbers.integers(0, len(blob), 3):
            blob[at] = random_numbers.integers(0, 256)
        try:
            parse(bytes(blob))
        except FormatError:
            continue


def test_bytes_of_a_surrogate_where_no_name_is():
    """Found by the fuzzer: they may be part of a number, here of a frame's length."""
    blob = pickle.dumps(OrderedDict(), 4)
    assert blob[2] == 0x95
    assert as_dict(parse(blob[:3] + b"\xed\xb3\xbf" + blob[6:])) == {}
