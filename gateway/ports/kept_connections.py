"""Connections to servers in sandboxes that are kept open for the next request (keep-alive)."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass

import gevent

from gateway.ports.connection import Connection

KEPT_S = 3.0
"""Servers close theirs after 5 s (Node.js, uvicorn) or later: none shall be used at that moment."""

MOST_PER_PORT = 16
MOST = 256
"""Of one worker. The one that was kept longest makes room."""

Place = tuple[str, int]
"""Container and port."""


@dataclass(eq=False)
class _Kept:
    place: Place
    connection: Connection
    until: float
    """Monotonic seconds."""


class KeptConnections:
    """Owns what it is given until somebody takes it; one greenlet closes what is too old."""

    def __init__(self) -> None:
        self._by_place: dict[Place, deque[_Kept]] = {}
        self._all: OrderedDict[_Kept, None] = OrderedDict()
        """The oldest first."""
        self._sweeper: gevent.Greenlet | None = None
        self._closed = False

    def keep(self, container_id: str, port: int, connection: Connection) -> None:
        """Keep a connection on which a request was answered to the end, and nothing more."""
        place = (container_id, port)
        theirs = self._by_place.setdefault(place, deque())
        if self._closed or not connection.is_quiet():
            connection.close()
            self._forget_if_empty(place)
            return
        if len(theirs) >= MOST_PER_PORT:
            self._drop(theirs[0])
        elif len(self._all) >= MOST:
            self._drop(next(iter(self._all)))
        kept = _Kept(place, connection, time.monotonic() + KEPT_S)
        self._by_place.setdefault(place, deque()).append(kept)
        self._all[kept] = None
        if self._sweeper is None:
            self._sweeper = gevent.spawn_later(KEPT_S, self._sweep)

    def take(self, container_id: str, port: int) -> Connection | None:
        """One that works, as far as can be seen. Whoever takes it owns it."""
        while theirs := self._by_place.get((container_id, port)):
            kept = theirs[-1]
            self._remove(kept)
            if kept.connection.is_quiet():
                return kept.connection
            kept.connection.close()
        return None

    def _remove(self, kept: _Kept) -> None:
        del self._all[kept]
        self._by_place[kept.place].remove(kept)
        self._forget_if_empty(kept.place)

    def _forget_if_empty(self, place: Place) -> None:
        if not self._by_place.get(place, True):
            del self._by_place[place]

    def _drop(self, kept: _Kept) -> None:
        self._remove(kept)
        kept.connection.close()

    def _sweep(self) -> None:
        self._sweeper = None
        now = time.monotonic()
        while self._all:
            oldest = next(iter(self._all))
            if oldest.until > now:
                self._sweeper = gevent.spawn_later(oldest.until - now, self._sweep)
                return
            self._drop(oldest)

    def close(self) -> None:
        """Close all, and keep none from now on. May be repeated."""
        self._closed = True
        for kept in list(self._all):
            self._drop(kept)
        if self._sweeper is not None:
            self._sweeper.kill(block=False)
            self._sweeper = None
