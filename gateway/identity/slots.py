"""How many of a thing an owner may have at a time, in this worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import GatewayError


class Slots:
    """Counts by owner: the name of a key or, where there are none, a sandbox.

    `full` is what is raised for one more than `per_owner`.
    """

    def __init__(self, per_owner: int, full: type[GatewayError]) -> None:
        self._per_owner = per_owner
        self._full = full
        self._taken: Counter[str] = Counter()

    def taken(self, owner: str) -> int:
        """How many the owner has now."""
        return self._taken[owner]

    def take(self, owner: str) -> None:
        """Count one more. Raises `full`."""
        if self._taken[owner] >= self._per_owner:
            raise self._full()
        self._taken[owner] += 1

    def give_back(self, owner: str) -> None:
        """Count one less."""
        self._taken[owner] -= 1
        if self._taken[owner] <= 0:
            del self._taken[owner]

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """Have one within the block. Raises `full`."""
        self.take(owner)
        try:
            yield
        finally:
            self.give_back(owner)
