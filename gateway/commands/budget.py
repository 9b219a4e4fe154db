"""How many bytes of output one process holds at once, over all commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from gevent.event import Event


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
        """Hold `size` bytes of the budget, all of it if that is more than there is."""
        size = min(size, self._capacity)
        self._acquire(size)
        try:
            yield
        finally:
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
