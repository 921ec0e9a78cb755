"""An index built in a child process, for daemons.

Building takes several times the index's memory, much of which the interpreter would keep for as long as it lives.
"""

from __future__ import annotations

import contextlib
import os
import pickle

from ffrfs.archive.index_file import find_index_file, load_index_file, pass_on, passed_on
from ffrfs.archive.opening import KEEP_ROWS, build_and_keep, load_index
from ffrfs.archive.shards import Shards
from ffrfs.errors import ArchiveError
from ffrfs.format.header import PREFIX_BYTES
from ffrfs.format.index import Index

__all__ = ["load_mapped_index"]


def load_mapped_index(shards: Shards) -> Index:
    """The index, mapped from a file or, where there is no place for one, from shared memory; a small one is built here.

    Looked for once, and built once. Raises: as `load_index`.
    """
    found = find_index_file(shards)
    if found is not None:
        return found[1]
    if _records(shards) < KEEP_ROWS:
        return build_and_keep(shards)[0]
    shared = os.memfd_create("ffrfs-index", os.MFD_CLOEXEC)
    try:
        outcome = _build_in_child(shards, shared)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            return passed_on(shared)
        kept = load_index_file(outcome, shards) if outcome else None
    finally:
        os.close(shared)
    return kept if kept is not None else load_index(shards)


def _records(shards: Shards) -> int:
    """How many records the archive claims; 0 where it is too short to say."""
    with contextlib.suppress(ArchiveError):
        return sum(
            int.from_bytes(shards.read(shard, 4, PREFIX_BYTES - 4), "little", signed=True)
            for shard in range(len(shards.paths))
        )
    return 0


def _build_in_child(shards: Shards, shared: int) -> str | Exception | None:
    """Returns: the path of the file that keeps the index; None if it was written to `shared`; why there is none; or, if
    the child was killed, the empty string."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(reader)
        _answer(shards, shared, writer)
    os.close(writer)
    with open(reader, "rb") as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return pickle.loads(answer) if answer else ""  # noqa: S301 - from our own child


def _answer(shards: Shards, shared: int, writer: int) -> None:
    """Build the index, say where it is, and end this process."""
    outcome: str | Exception | None = None
    try:
        index, outcome = build_and_keep(shards)
        if outcome is None:
            pass_on(index, shared)
    except Exception as error:
        outcome = error
    finally:
        with contextlib.suppress(BaseException), open(writer, "wb") as stream:
            stream.write(pickle.dumps(outcome))
        os._exit(0)
