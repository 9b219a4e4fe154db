"""One at a time for each owner, so that none takes the turns of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gevent.lock import BoundedSemaphore


class OwnerTurns:
    """A lock for each owner, for as long as somebody has it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[str, BoundedSemaphore] = {}
        self._users: Counter[str] = Counter()

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """Within the block it is the owner's only one. Waits for that."""
        lock = self._locks.setdefault(owner, BoundedSemaphore(1))
        self._users[owner] += 1
        try:
            with lock:
                yield
        finally:
            self._users[owner] -= 1
            if not self._users[owner]:
                del self._users[owner], self._locks[owner]
