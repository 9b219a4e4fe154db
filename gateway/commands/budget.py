"""How many bytes of output one process holds at once, over all commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

PATIENCE_S = 5.0


class Budget(Protocol):
    """What holds back results that would be too much at once."""

    def hold(self, size: int) -> AbstractContextManager[None]: ...


class OneAtATime:
    """The share of one client: of its large results one at a time counts against `common`.

    A client that does not read then holds no more than one, however many it has asked for.
    """

    def __init__(self, common: Budget) -> None:
        self._common = common
        self._turn = BoundedSemaphore(1)

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait for the client's turn, then for the common budget."""
        with self._turn, self._common.hold(size):
            yield


class OutputBudget:
    """A counting semaphore whose holders take different amounts, served first come first served.

    Without it, many large results at a time would add up to more memory than the host has.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free = capacity
        self._waiting: deque[tuple[int, Event]] = deque()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes of the budget, all of it if that is more than there is.

        Who has waited for `PATIENCE_S` goes on without: what others hold is then held by clients
        that do not read, and those must not hold up the ones that do.
        """
        size = min(size, self._capacity)
        held = False
        with gevent.Timeout(PATIENCE_S, False):
            self._acquire(size)
            held = True
        try:
            yield
        finally:
            if held:
                self._free += size
                self._admit()

    def _acquire(self, size: int) -> None:
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        turn = Event()
        entry = (size, turn)
        self._waiting.append(entry)
        try:
            turn.wait()
        except BaseException:
            # Killed while waiting: leave the queue, or give back what was granted meanwhile.
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:
                self._free += size
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, turn = self._waiting.popleft()
            self._free -= size
            turn.set()
