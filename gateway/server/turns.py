"""Letting others run, while a connection always has something to do."""

from __future__ import annotations

import time

import gevent

FREE = 20
WITHIN_S = 0.05
"""So many turns in so much time cost nothing but the turn itself."""

PAUSE_S = 0.001


class Turns:
    """Of one connection.

    `gevent.sleep(0)` alone gives other greenlets a turn, but not those that wait for a socket: the
    event loop looks at sockets only when no greenlet is ready, or after 5 ms. Who takes turn after
    turn therefore waits for a timer, which comes after the sockets.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._since = time.monotonic()

    def give(self, pause_s: float = PAUSE_S) -> None:
        """Let others run; for `pause_s` from the turn on that is one too many."""
        now = time.monotonic()
        if now - self._since > WITHIN_S:
            self._taken, self._since = 0, now
        self._taken += 1
        gevent.sleep(0 if self._taken <= FREE else pause_s)
