"""What users have announced that they will read, each user's for himself. Pure.

A user's announcements are bounded, and are forgotten when nobody follows them: so one who announces without end, or
whose job has ended, takes nothing from another.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator

from ffrfs.fs.prefetch.budget import Progress
from ffrfs.fs.state import OWNERS, RUN_OWNER

__all__ = ["Announcements"]

MAX_INODES = 1 << 21  # of one user: an epoch of a large data set, in 12 MB
_TOGETHER_SECONDS, _TOGETHER_INODES = 1.0, 256
_FORGET_SECONDS = 600.0  # a training that has stopped for a validation comes back


class _User:
    """One who announces. Attributes: inodes, with the time when they were announced."""

    def __init__(self, uid: int, now: float) -> None:
        self.uid = uid
        self.inodes: deque[tuple[float, array[int]]] = deque()
        self.count = 0
        self.announced = now
        self.progress = Progress()

    def append(self, inodes: list[int], now: float) -> None:
        """Together with what was announced just before: many small announcements must not cost more memory."""
        if self.inodes and now - self.inodes[-1][0] < _TOGETHER_SECONDS and len(self.inodes[-1][1]) < _TOGETHER_INODES:
            self.inodes[-1][1].extend(inodes)
        else:
            self.inodes.append((now, array("I", inodes)))
        self.count += len(inodes)
        self.announced = now

    def forget_before(self, time: float) -> int:
        before = self.count
        while self.inodes and self.inodes[0][0] <= time:
            self.count -= len(self.inodes.popleft()[1])
        return before - self.count


class Announcements:
    """Announcements of all users. An owner is a number from 1 on, which stands for a user."""

    def __init__(self) -> None:
        self._users: dict[int, _User] = {}  # by owner
        self._last = RUN_OWNER

    def add(self, uid: int, inodes: list[int], now: float) -> int:
        """A user announces files. Returns: how many could not be taken."""
        user = self._user(uid, now)
        if user is None or user.count + len(inodes) > MAX_INODES:
            return len(inodes)
        user.append(inodes, now)
        return 0

    def waiting(self) -> Iterator[int]:
        """The owners who have announced what was not taken yet, who was served last at the end."""
        owners = sorted(owner for owner, user in self._users.items() if user.count)
        yield from (owner for owner in owners if owner > self._last)
        yield from (owner for owner in owners if owner <= self._last)

    def has_some(self, owner: int) -> bool:
        """Whether an owner has announced what was not taken yet."""
        return self._users[owner].count > 0

    def active(self) -> int:
        """How many owners have announced what was not taken yet."""
        return sum(1 for user in self._users.values() if user.count)

    def take(self, owner: int) -> tuple[float, array[int]]:
        """What an owner announced first: when, and some tens of inodes."""
        user = self._users[owner]
        time, inodes = user.inodes.popleft()
        user.count -= len(inodes)
        self._last = owner
        return time, inodes

    def put_back(self, owner: int, time: float, inodes: array[int]) -> None:
        """What was taken and is still to be read."""
        user = self._users[owner]
        user.inodes.appendleft((time, inodes))
        user.count += len(inodes)

    def has_room(self, owner: int, now: float) -> None:
        """What the owner announced can be read."""
        self._users[owner].progress.has_room(now)

    def forget_unfollowed(self, owner: int, passed: int, now: float) -> int | None:
        """Whether an owner's readers have stopped to follow: then what was announced before is forgotten, if there are
        newer announcements, or after ten minutes.

        Args: passed, how many of his marks were passed. Returns: how many files were forgotten; None if they go on.
        """
        user = self._users[owner]
        if not user.progress.stalled(passed, now):
            return None
        newer = user.progress.since + user.progress.patience_seconds / 2
        if user.announced <= newer and now - user.progress.since < _FORGET_SECONDS:
            return None
        user.progress.give_up(now)
        return user.forget_before(newer if user.announced > newer else now)

    def _user(self, uid: int, now: float) -> _User | None:
        for user in self._users.values():
            if user.uid == uid:
                return user
        owner = next((owner for owner in range(1, OWNERS) if owner not in self._users), None)
        if owner is None:
            idle = [owner for owner, user in self._users.items() if not user.count]
            if not idle:
                return None
            owner = min(idle, key=lambda owner: self._users[owner].announced)
        self._users[owner] = _User(uid, now)
        return self._users[owner]
