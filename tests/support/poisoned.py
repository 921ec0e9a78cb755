"""`ffrfs` in which reading one file kills whoever reads it, as a fault in the interpreter would.

FFRFS_TEST_POISON=NAME python -m tests.support.poisoned mount ARCHIVE MOUNTPOINT …
"""

from __future__ import annotations

import os
import signal
import sys

from ffrfs.cli import main
from ffrfs.fs.content import Content

_POISON = os.environb[b"FFRFS_TEST_POISON"]


def poisoned(read):
    """A method that reads, but for one file."""

    def kill_or_read(content, inode, *arguments):
        if content._index.name(inode) == _POISON:
            os.kill(os.getpid(), signal.SIGSEGV)
        return read(content, inode, *arguments)

    return kill_or_read


if __name__ == "__main__":
    Content.read_cached, Content.read = poisoned(Content.read_cached), poisoned(Content.read)
    sys.exit(main())
