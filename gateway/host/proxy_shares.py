"""What each sandbox may have of the egress proxy, so that none takes it from the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gevent.lock import BoundedSemaphore

from gateway.process.giving_way import Turn

MAX_CONNECTIONS = 1024
MAX_PER_SANDBOX = 64

_FIRST = 2
_KEPT_FOR_FIRST = 256
"""For the first two connections of each sandbox: whoever has more leaves these alone."""

_PART_OF_FREE = 0.25
"""A sandbox gets another connection while it has fewer than this part of the rest that is free. So
those who take much leave room: the twentieth still gets some."""

LOOKUPS = 2
"""Names of one sandbox that are looked up at a time: a slow answer holds a thread."""


class Share:
    """Of one sandbox: over all its connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.lookups = BoundedSemaphore(LOOKUPS)
        self._turn = Turn()
        self._in_turn = BoundedSemaphore(1)

    def begins(self) -> None:
        """A piece is there, and is passed on."""
        self._turn.begins()

    def took(self, size: int) -> None:
        """It was passed on. May let others run, and meanwhile holds up all connections of this
        sandbox: many have no more of the worker together than one has."""
        with self._in_turn:
            self._turn.took(size)


class Shares:
    """Those of all sandboxes that are connected, by address."""

    def __init__(self) -> None:
        self._shares: dict[str, Share] = {}
        self._total = 0

    @contextmanager
    def enter(self, sandbox: str) -> Iterator[Share | None]:
        """For one connection; None where there shall be no more of this sandbox now."""
        share = self._shares.get(sandbox) or Share()
        if not may_enter(share.connections, self._total):
            yield None
            return
        self._shares[sandbox] = share
        share.connections += 1
        self._total += 1
        try:
            yield share
        finally:
            share.connections -= 1
            self._total -= 1
            if not share.connections:
                del self._shares[sandbox]


def may_enter(own: int, total: int) -> bool:
    """Whether a sandbox with `own` connections may have another one, of `total` that there are."""
    if own < _FIRST:
        return total < MAX_CONNECTIONS
    free = MAX_CONNECTIONS - _KEPT_FOR_FIRST - total
    return own < min(MAX_PER_SANDBOX, _PART_OF_FREE * free)
