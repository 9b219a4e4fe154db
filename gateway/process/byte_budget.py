"""How many bytes this process holds for its clients at once: in all, and of each owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from gateway.errors import GatewayError

PATIENCE_S = 30.0
"""How long somebody waits for room: as long as a client may take nothing before it is given up, so
that what one such client holds comes back in time."""


class Budget(Protocol):
    """What holds back those who would be too much at once."""

    def hold(self, owner: str, size: int) -> AbstractContextManager[None]: ...

    def try_take(self, owner: str, size: int) -> int: ...

    def give_back(self, owner: str, size: int) -> None: ...


class OneAtATime:
    """The share of one client: of its results one at a time counts against `common`.

    A client that does not read then holds no more than one, however many it has asked for.
    """

    def __init__(self, common: Budget) -> None:
        self._common = common
        self._turn = BoundedSemaphore(1)

    @contextmanager
    def hold(self, owner: str, size: int) -> Iterator[None]:
        """Wait for the client's turn, then for the common budget."""
        with self._turn, self._common.hold(owner, size):
            yield

    def try_take(self, owner: str, size: int) -> int:
        """See `ByteBudget`."""
        return self._common.try_take(owner, size)

    def give_back(self, owner: str, size: int) -> None:
        """See `ByteBudget`."""
        self._common.give_back(owner, size)


class _Waiter:
    def __init__(self, owner: str, size: int) -> None:
        self.owner = owner
        self.size = size
        self.turn = Event()


class ByteBudget:
    """A counting semaphore whose holders take different amounts.

    All together never hold more than `capacity` bytes, and no owner more than `per_owner`, so that
    one that gives nothing back leaves the others their part. `own_full` and `all_full` are what is
    raised when the wait for room was in vain, because of the owner's own share or of the whole.
    """

    def __init__(
        self,
        capacity: int,
        per_owner: int,
        own_full: type[GatewayError],
        all_full: type[GatewayError],
    ) -> None:
        self._capacity = capacity
        self._per_owner = min(per_owner, capacity)
        self._own_full = own_full
        self._all_full = all_full
        self._held = 0
        self._held_of: dict[str, int] = {}
        self._waiting: dict[_Waiter, None] = {}
        """In the order of their coming."""

    @property
    def held(self) -> int:
        """Bytes that are held now, by all."""
        return self._held

    @contextmanager
    def hold(self, owner: str, size: int, within_s: float | None = None) -> Iterator[None]:
        """Hold `size` bytes within the block, the owner's whole share if that is more.

        Waits for room for `within_s` seconds, PATIENCE_S if not given. Raises `own_full` or
        `all_full`.
        """
        taken = self.take(owner, size, within_s)
        try:
            yield
        finally:
            self.give_back(owner, taken)

    def take(self, owner: str, size: int, within_s: float | None = None) -> int:
        """Like `hold`; gives how many bytes the caller has to give back."""
        size = min(size, self._per_owner)
        waiter = _Waiter(owner, size)
        self._waiting[waiter] = None
        self._admit()
        if waiter not in self._waiting:
            return size
        try:
            with gevent.Timeout(PATIENCE_S if within_s is None else within_s, False):
                waiter.turn.wait()
        except BaseException:
            # Killed while waiting: leave the queue, or give back what was granted meanwhile.
            if waiter in self._waiting:
                self._leave(waiter)
            else:
                self.give_back(owner, size)
            raise
        if waiter not in self._waiting:
            return size
        is_own = self._held_of.get(owner, 0) + size > self._per_owner
        self._leave(waiter)
        raise (self._own_full if is_own else self._all_full)()

    def try_take(self, owner: str, size: int) -> int:
        """Take `size` bytes if nobody has to wait for that, the whole share if that is less; what
        was taken, else 0."""
        size = min(size, self._per_owner)
        if not self._fits_owner(owner, size) or self._held + size > self._capacity:
            return 0
        if any(waiter.owner == owner for waiter in self._waiting):
            return 0
        self._grant(owner, size)
        return size

    def give_back(self, owner: str, size: int) -> None:
        """What was taken is free again."""
        self._held -= size
        left = self._held_of.get(owner, 0) - size
        if left > 0:
            self._held_of[owner] = left
        else:
            self._held_of.pop(owner, None)
        self._admit()

    def _grant(self, owner: str, size: int) -> None:
        self._held += size
        if size:
            self._held_of[owner] = self._held_of.get(owner, 0) + size

    def _fits_owner(self, owner: str, size: int) -> bool:
        return self._held_of.get(owner, 0) + size <= self._per_owner

    def _leave(self, waiter: _Waiter) -> None:
        del self._waiting[waiter]
        self._admit()

    def _admit(self) -> None:
        """First come first served, but nobody waits for another owner's share."""
        full: set[str] = set()
        for waiter in list(self._waiting):
            if waiter.owner in full:
                continue
            if not self._fits_owner(waiter.owner, waiter.size):
                full.add(waiter.owner)
                continue
            if self._held + waiter.size > self._capacity:
                return
            del self._waiting[waiter]
            self._grant(waiter.owner, waiter.size)
            waiter.turn.set()


class Holding:
    """What one client holds of a budget. `close` gives back all of it, whoever was killed."""

    def __init__(self, budget: ByteBudget, owner: str) -> None:
        self._budget = budget
        self._owner = owner
        self._closed = False
        self.size = 0

    def try_take(self, size: int) -> int:
        """What was taken; 0 when there is no room for `size` bytes now."""
        if self._closed:
            return 0
        taken = self._budget.try_take(self._owner, size)
        self.size += taken
        return taken

    def take(self, size: int, within_s: float | None = None) -> int:
        """What was taken, as `ByteBudget.take`."""
        taken = self._budget.take(self._owner, size, within_s)
        if self._closed:
            self._budget.give_back(self._owner, taken)
            return 0
        self.size += taken
        return taken

    def give_back(self, size: int) -> None:
        """Give back what was taken, unless it has been already, with all the rest."""
        if not self._closed:
            self.size -= size
            self._budget.give_back(self._owner, size)

    def close(self) -> None:
        """Give back everything, and take nothing any more. May be repeated."""
        if not self._closed:
            self._closed = True
            self._budget.give_back(self._owner, self.size)
            self.size = 0
