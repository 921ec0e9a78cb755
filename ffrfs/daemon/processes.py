"""The processes of one mount: what each is made of, and what they share."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable

from ffrfs.archive.shards import Shards
from ffrfs.daemon.guardian import guard
from ffrfs.daemon.revival import Revival
from ffrfs.daemon.session import Session
from ffrfs.daemon.worker import begin_outliving_process, begin_process, run_worker
from ffrfs.format.index import Index
from ffrfs.fs.changes import ChangeWatch
from ffrfs.fs.content import Content
from ffrfs.fs.counters import position
from ffrfs.fs.hands import Resent
from ffrfs.fs.options import TreeOptions
from ffrfs.fs.prefetch.announcer import Announcer
from ffrfs.fs.prefetch.budget import Budget
from ffrfs.fs.prefetch.fetch import Fetcher
from ffrfs.fs.prefetch.folders import FolderLister
from ffrfs.fs.prefetch.packets import Packets
from ffrfs.fs.prefetch.process import Prefetcher
from ffrfs.fs.server import Server
from ffrfs.fs.state import OWNERS, SharedState
from ffrfs.fs.statistics import StatisticsFolder
from ffrfs.fuse.channel import Channel, clone
from ffrfs.mount.options import MountOptions

__all__ = ["Processes"]


class Processes:
    """Made in the supervisor before it forks.

    Args: shards, index, the archive; mountpoint; options; session; description_fd, of a mount that systemd
    keeps, or None. Attributes: revival, what is done for the requests of a dead worker, or None where the kernel does
    not send them again.
    """

    def __init__(
        self,
        shards: Shards,
        index: Index,
        mountpoint: str,
        options: MountOptions,
        session: Session,
        description_fd: int | None,
    ) -> None:
        self._shards, self._index, self._options, self._session = shards, index, options, session
        self._mountpoint, self._description_fd = mountpoint, description_fd
        workers = options.workers
        # Rows of counters: a worker's, then those of their threads, the prefetcher's and the supervisor's.
        self._prefetch_row, self._own_row = 2 * workers, 2 * workers + 1
        self._state = SharedState(2 * workers + 2, len(index.records), len(index), index.directories)
        self._content = Content(shards, index, self._state, ChangeWatch(shards))
        self._statistics = StatisticsFolder(self._state, shards.path, mountpoint, workers, index.files, options.shared)
        self._tree = TreeOptions(
            uid=os.geteuid() if options.uid is None else options.uid,
            gid=os.getegid() if options.gid is None else options.gid,
            umask=options.umask,
            mtime_ns=shards.mtime_ns(),
        )
        self._packets = Packets() if options.prefetch_bytes else None
        self._announcer = Announcer(index, self._state, self._packets) if self._packets is not None else None
        self._supervisor = os.getpid()
        self.revival = Revival(session, workers, self._alone, self.count) if session.can_resend else None

    def roles(self) -> list[Callable[[], int]]:
        """What each process does, which returns its exit status; the workers first."""
        roles: list[Callable[[], int]] = [
            functools.partial(self._worker, worker) for worker in range(self._options.workers)
        ]
        if self._packets is not None:
            roles.append(functools.partial(self._prefetch, self._packets))
        return [*roles, self._guard]

    def activity(self) -> int:
        """A number that grows with each request."""
        return sum(self._state.totals().values())

    def _worker(self, worker: int) -> int:
        begin_process(self._supervisor)
        self.count("worker_starts", worker)
        if self.revival is not None:
            return run_worker(self._server(self._session.fd, worker, self.revival.for_worker(worker)))
        # A channel of its own: what is in hand when it is killed fails, and does not hang.
        fd = clone(self._session.fd)
        os.dup2(fd, self._session.fd, inheritable=False)
        os.close(fd)
        return run_worker(self._server(self._session.fd, worker, None))

    def _alone(self, request: bytes) -> int:
        begin_process(self._supervisor)
        self._server(self._session.fd, None, None).answer_alone(memoryview(request))
        return 0

    def _guard(self) -> int:
        begin_outliving_process()
        return guard(self._session.fd, self._session.mount.connection, self._supervisor, self._description_fd)

    def _prefetch(self, packets: Packets) -> int:
        begin_process(self._supervisor)
        state, index, count = self._state, self._index, self._state.counters[self._prefetch_row]
        changed = threading.Condition()
        budget = Budget(self._options.prefetch_bytes, [state.passed_marks(owner) for owner in range(OWNERS)])
        channel = Channel(self._session.fd)
        fetcher = Fetcher(self._shards, index, self._content, state, count, budget, changed, channel)
        folders = FolderLister(
            index,
            os.fsencode(self._mountpoint),
            os.makedev(*map(int, self._session.mount.device.split(":"))),
            forgotten=lambda: state.totals()["forgets"],
            listed=lambda: self.count("folders_listed", self._prefetch_row),
        )
        Prefetcher(index, state, count, packets, budget, changed, fetcher, folders).run()
        return 0

    def _server(self, fd: int, worker: int | None, resent: Resent | None) -> Server:
        rows = (worker, self._options.workers + worker) if worker is not None else (self._own_row, self._own_row)
        return Server(
            self._index,
            self._content,
            self._tree,
            self._state,
            rows,
            self._statistics,
            self._announcer,
            Channel(fd),
            resent,
            self._session.opendir_errno,
        )

    def count(self, name: str, row: int | None = None) -> None:
        """Count one more, in the supervisor's row if no other is given."""
        self._state.counters[self._own_row if row is None else row][position(name)] += 1
