"""How long one greenlet may go on with what it is given before all others have their turn.

gevent's `recv` does not give way while bytes are ready. A loop that reads from somebody who sends
faster than it reads would keep the hub, and with it every limit of time, from ever running. So
every loop that reads what a client, an agent or a sandbox sends takes its turn here.
"""

from __future__ import annotations

import time

import gevent
from gevent.lock import BoundedSemaphore

from gateway.process.time_shares import current_account, wait_for_share

SLICE_BYTES = 256 * 1024
SLICE_ITEMS = 256
SLICE_S = 0.002
"""What one reader takes at a time, whichever comes first."""

_AT_ONCE_S = 1e-9
"""A timer that is due at once costs 16 µs, and lets the hub look at all sockets once. `sleep(0)`
does not: gevent runs 50 of those callbacks between two looks."""

_giving_way_for_nobody = BoundedSemaphore(1)


def give_way() -> None:
    """Let everything else have its turn. Of all who work for one caller and give way, one goes on
    between two looks of the hub at its sockets: a hundred of them then make nobody wait a hundred
    times as long, and other callers do not stand in their queue."""
    account = current_account()
    with account.giving_way if account is not None else _giving_way_for_nobody:
        gevent.sleep(_AT_ONCE_S)


class Turn:
    """One reader's share of the hub. `took` is called for what was read and dealt with.

    A reader that is asked for the next piece by somebody else calls `begins` when it has one, and
    `took` when it is asked again: so what was done with the piece counts, whoever did it.
    """

    def __init__(self) -> None:
        self._bytes = 0
        self._items = 0
        self._seconds = 0.0
        self._since = time.perf_counter()

    def begins(self) -> None:
        """What follows, until `took`, is work: no waiting for more."""
        self._since = time.perf_counter()

    def took(self, size: int, items: int = 1) -> None:
        """So many bytes were dealt with since `begins` or the last call. May give way."""
        now = time.perf_counter()
        self._seconds += now - self._since
        self._since = now
        self._bytes += size
        self._items += items
        if self._bytes >= SLICE_BYTES or self._items >= SLICE_ITEMS or self._seconds >= SLICE_S:
            give_way()
            wait_for_share()
            self._bytes = self._items = 0
            self._seconds = 0.0
            self._since = time.perf_counter()


class Rate:
    """So many a second for ever, and `burst` at once. Who takes more waits."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = time.monotonic()

    def take(self, count: float) -> None:
        """Block until `count` may be taken."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s) - count
        self._at = now
        if self._left < 0:
            gevent.sleep(-self._left / self._per_s)
