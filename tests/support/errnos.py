"""System calls that must fail, and with which errno."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator


@contextlib.contextmanager
def fails_with(*names: str) -> Iterator[None]:
    """Assert that the block raises an OSError with one of these errnos, given by name."""
    try:
        yield
    except OSError as error:
        actual = errno.errorcode.get(error.errno or 0, str(error.errno))
        assert actual in names, f"failed with {actual} instead of {' or '.join(names)}"
    else:
        raise AssertionError(f"did not fail with {' or '.join(names)}")
