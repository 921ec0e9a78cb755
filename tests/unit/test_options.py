"""Mount options as people write them."""

import pytest

from ffrfs.errors import ConfigError
from ffrfs.mount.options import MountOptions, parse_options, parse_size


def test_lists_and_repetitions_add_up_and_the_last_wins():
    options = parse_options(["ro,allow_other,uid=10", "uid=20,umask=027,workers=3", "prefetch=128k,noexec"])
    assert options == MountOptions(
        allow_other=True, uid=20, umask=0o27, workers=3, prefetch_bytes=128 << 10, kernel=("noexec",)
    )


def test_what_had_an_effect_before_is_a_notice(caplog):
    assert parse_options(["fill=128k,uid=1"]) == MountOptions(uid=1)
    assert caplog.messages == ["option fill= has no effect since 0.2"]


def test_an_escaped_comma_is_part_of_a_value():
    assert parse_options([r"fsname=a\,b,uid=1"]) == MountOptions(fsname="a,b", uid=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alow_other", r"no mount option 'alow_other'; did you mean 'allow_other'\?"),
        ("rw", "no mount option 'rw'"),
        ("uid", "option uid needs a value"),
        ("uid=", "option uid needs a value"),
        ("uid=x", "option uid cannot be 'x': it is a whole number"),
        ("uid=-1", "from 0"),
        ("umask=9", "octal"),
        ("umask=1000", "octal number from 0 to 777"),
        ("workers=0", "from 1 to 128"),
        ("allow_other=1", "allow_other takes no value"),
        ("prefetch=many", "number of bytes"),
    ],
)
def test_nonsense_is_one_sentence(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_options([text])


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("7", 7), ("64k", 65536), ("1M", 1 << 20), ("2GiB", 2 << 30), ("1mb", 1 << 20)]
)
def test_sizes(text, size):
    assert parse_size(text) == size
