"""Servers for requests given as bytes."""

import pytest

from tests.support.archives import write_archive
from tests.support.kernel import TREE, Kernel


@pytest.fixture
def kernel(tmp_path):
    kernel = Kernel(write_archive(tmp_path / "a.ffr", TREE))
    yield kernel
    kernel.close()


@pytest.fixture
def old_kernel(tmp_path):
    """One that does not understand ENOSYS for OPENDIR."""
    kernel = Kernel(write_archive(tmp_path / "a.ffr", TREE), 0)
    yield kernel
    kernel.close()
