"""How a process of a mount waits for the kernel's next request.

pyfuse3 takes its waiting primitives from the module attribute `pyfuse3.trio` (that is how `pyfuse3.asyncio` puts others
in their place). `FuseLoop` stands there instead of trio and gives a worker the cheapest wait that is safe:

- While no handler is under way, the wait is libfuse's own blocking receive: no poll, no scheduler pass, and the kernel
  wakes one idle worker a request. It holds the GIL, which nobody else wants then.
- While a handler waits for storage in a thread, its answer needs the GIL, so the worker asks poll(2) before it receives
  and parks in trio when nothing is there. Another worker may take the request between poll and receive; a timer signal
  ends such a receive within 2 ms.

The read lock is taken and given back without a scheduler pass, so a task whose handlers answer at once goes on reading;
a second task takes over when the first really waits.

Called from the main thread of a worker only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import signal
import types
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pyfuse3
import trio

__all__ = ["FuseLoop"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CHECKPOINT_EVERY = 8  # requests taken in a row while a handler waits, before trio looks whether it can go on
_RESCUE_SECONDS = 0.002
_SEAM = ("open_nursery", "ClosedResourceError", "Lock", "lowlevel")


def _completed() -> Awaitable[None]:
    """An awaitable that is done: awaiting it costs no coroutine and no switch. A future asks its loop for nothing but
    this, so a real one, which opens descriptors, is not needed."""
    no_loop: Any = types.SimpleNamespace(get_debug=lambda: False)
    done: asyncio.Future[None] = asyncio.Future(loop=no_loop)
    done.set_result(None)
    return done


class FuseLoop:
    """The wait of one process. `install` it before `pyfuse3.init`; then `until_init` and, in a worker, `serve`.

    Args: threads, how many handlers may wait for storage at once.
    """

    def __init__(self, threads: int = 16) -> None:
        self._threads = threads
        self._done = _completed()
        self._pending = 0
        self._taken = 0
        self._stopping = False
        self._initialized: trio.Event | None = None
        self._wait: Callable[[int], Awaitable[None]] = trio.lowlevel.wait_readable
        self._shared = False
        self._lock_held = False
        self._lock_wanted = False
        self._limiter: trio.CapacityLimiter | None = None
        self._lock_waiters = trio.lowlevel.ParkingLot()
        self._token: trio.lowlevel.TrioToken | None = None
        self._session_fd = -1
        self._poll = select.poll()

    def install(self) -> None:
        """Stand in for trio inside pyfuse3. Without the seam (a future pyfuse3), stock trio stays, with a log line."""
        current = getattr(pyfuse3, "trio", None)
        if current is None or not all(hasattr(current, name) for name in _SEAM):
            logger.warning(
                "this pyfuse3 takes no other wait, so requests go through trio's scheduler: slower, not wrong"
            )
            return
        lock_type = type("Lock", (), {})
        lock_type.__aenter__ = lambda _: self._take_lock()  # type: ignore[attr-defined]
        lock_type.__aexit__ = lambda *_: self._give_lock()  # type: ignore[attr-defined]
        lowlevel = {name: getattr(trio.lowlevel, name) for name in dir(trio.lowlevel) if not name.startswith("_")}
        lowlevel["wait_readable"] = self._wait_readable
        seam = types.SimpleNamespace(
            Lock=lock_type,
            lowlevel=types.SimpleNamespace(**lowlevel),
            open_nursery=trio.open_nursery,
            ClosedResourceError=trio.ClosedResourceError,
        )
        setattr(pyfuse3, "trio", seam)  # noqa: B010 - no attribute that pyfuse3's type stubs know

    def initialized(self) -> None:
        """Called by the handler of FUSE_INIT."""
        if self._initialized is not None:
            self._initialized.set()

    async def until_init(self) -> None:
        """Answer FUSE_INIT and return; the session goes on in the processes that `serve` it."""
        self._initialized = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pyfuse3.main)
            await self._initialized.wait()
            nursery.cancel_scope.cancel()

    async def serve(self, session_fd: int, shared: bool) -> bool:
        """Answer requests until stopped or unmounted.

        Args: session_fd, libfuse's descriptor; shared, whether other processes take requests from the same connection.
        Returns: True if `stop` ended it, False if the connection did.
        """
        self.begin(session_fd, shared)
        await pyfuse3.main()
        return self._stopping

    def begin(self, session_fd: int, shared: bool) -> None:
        """Make ready to serve, within trio; `serve` does it."""
        self._session_fd, self._shared = session_fd, shared
        self._poll.register(session_fd, select.POLLIN)
        self._limiter = trio.CapacityLimiter(self._threads)
        self._token = trio.lowlevel.current_trio_token()
        self._lock_held = False
        self._wait = self._wait_for_request

    def stop(self) -> None:
        """End `serve`; safe in a signal handler."""
        self._stopping = True
        if self._token is not None:
            with contextlib.suppress(trio.RunFinishedError):  # the connection ended at the same time
                self._token.run_sync_soon(trio.lowlevel.notify_closing, self._session_fd)

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function that waits for storage in a thread, while other requests are answered."""
        assert self._limiter is not None  # noqa: S101 - for the type checker: handlers run within serve only
        self._pending += 1
        if self._pending == 1 and self._shared:
            signal.setitimer(signal.ITIMER_REAL, _RESCUE_SECONDS, _RESCUE_SECONDS)
        try:
            return await trio.to_thread.run_sync(function, *arguments, limiter=self._limiter)
        finally:
            self._pending -= 1
            if self._pending == 0 and self._shared:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _wait_readable(self, fd: int) -> Awaitable[None]:
        return self._wait(fd)

    def _wait_for_request(self, fd: int) -> Awaitable[None]:
        if self._stopping:
            raise trio.ClosedResourceError
        return self._wait_beside_handlers(fd) if self._pending else self._done

    async def _wait_beside_handlers(self, fd: int) -> None:
        while self._pending:
            if self._poll.poll(0):
                self._taken += 1
                if self._taken % _CHECKPOINT_EVERY == 0:
                    await trio.lowlevel.checkpoint()
                    continue
                return
            await trio.lowlevel.wait_readable(fd)

    def _take_lock(self) -> Awaitable[None]:
        if self._lock_held:
            return self._wait_for_lock()
        self._lock_held = True
        return self._done

    async def _wait_for_lock(self) -> None:
        while self._lock_held:
            self._lock_wanted = True
            await self._lock_waiters.park()
        self._lock_held = True

    def _give_lock(self) -> Awaitable[None]:
        self._lock_held = False
        if self._lock_wanted:  # by a task that cannot run now, but must when this one ends without asking again
            self._lock_wanted = False
            self._lock_waiters.unpark_all()
        return self._done
