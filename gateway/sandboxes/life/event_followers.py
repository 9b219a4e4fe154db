"""Events to those who follow them: read once per worker, however many they are for."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.event import Event

from gateway.errors import GatewayError, TooManyFollowers
from gateway.process.change_feed import ChangeFeed
from gateway.store.events import EventRow, EventStore

log = logging.getLogger(__name__)

REMEMBERED = 1000
"""Events. Whoever is further behind reads the store."""

AT_A_TIME = 200

PATIENCE_S = 5.0
"""How long one wait for a change takes, at most."""

Topic = tuple[str | None, str | None]
"""(sandbox_id, owner) that somebody follows; None: all."""


class Followers:
    """Tells followers that there is something for them, and remembers the latest events.

    At most `most` of one owner at a time in this process. Owns a greenlet while anybody follows.
    """

    def __init__(self, events: EventStore, feed: ChangeFeed, most: int) -> None:
        self._events = events
        self._feed = feed
        self._most = most
        self._count: dict[str, int] = {}
        self._listening: dict[Topic, set[Event]] = {}
        self._latest: deque[EventRow] = deque(maxlen=REMEMBERED)
        self._known_from: int | None = None
        """All events after this number are in `_latest`. None: nothing is known."""
        self._last = 0
        self._reader: gevent.Greenlet | None = None

    @contextmanager
    def place_of(self, owner: str) -> Iterator[None]:
        """Follow within the block. Raises TooManyFollowers."""
        if self._count.get(owner, 0) >= self._most:
            raise TooManyFollowers()
        self._count[owner] = self._count.get(owner, 0) + 1
        try:
            yield
        finally:
            self._count[owner] -= 1
            if not self._count[owner]:
                del self._count[owner]

    @contextmanager
    def listening(self, sandbox_id: str | None, owner: str | None) -> Iterator[Event]:
        """An event that is set whenever something has happened that is asked for."""
        heard, topic = Event(), (sandbox_id, owner)
        self._listening.setdefault(topic, set()).add(heard)
        if not self._reader:
            self._reader = gevent.spawn(self._read_while_wanted)
        try:
            yield heard
        finally:
            theirs = self._listening[topic]
            theirs.discard(heard)
            if not theirs:
                del self._listening[topic]

    def since(
        self, number: int, *, sandbox_id: str | None, owner: str | None, limit: int
    ) -> list[EventRow]:
        """As `EventStore.since`; from memory where that reaches back far enough."""
        if self._known_from is None or number < self._known_from:
            return self._events.since(number, sandbox_id=sandbox_id, owner=owner, limit=limit)
        found = []
        for event in reversed(self._latest):
            if event.number <= number:
                break
            if sandbox_id in (None, event.sandbox_id) and owner in (None, event.owner):
                found.append(event)
        return found[::-1][:limit]

    def _read_while_wanted(self) -> None:
        try:
            while self._listening:
                mark = self._feed.mark
                try:
                    more = self._read()
                except GatewayError as error:
                    log.warning("events cannot be followed: %s", error)
                    self._forget()
                    more = False
                if not more:
                    self._feed.wait_after(mark, PATIENCE_S)
        except Exception:
            log.exception("following events failed")
        finally:
            self._reader = None
            self._forget()

    def _read(self) -> bool:
        """Take in what is new; whether there may be more."""
        if self._known_from is None:
            self._known_from = self._last = self._events.last_number()
            self._tell_everybody()  # what came before they are to read for themselves
            return False
        found = self._events.since(self._last, sandbox_id=None, owner=None, limit=AT_A_TIME)
        for event in found:
            if len(self._latest) == REMEMBERED:
                self._known_from = self._latest[0].number
            self._latest.append(event)
            self._last = event.number
        for topic in {topic for event in found for topic in _topics(event)}:
            for heard in self._listening.get(topic, ()):
                heard.set()
        return len(found) == AT_A_TIME

    def _forget(self) -> None:
        """Nothing is known any more: everybody looks for himself, and finds out why."""
        self._known_from = None
        self._latest.clear()
        self._tell_everybody()

    def _tell_everybody(self) -> None:
        for theirs in self._listening.values():
            for heard in theirs:
                heard.set()


def _topics(event: EventRow) -> list[Topic]:
    return [
        (sandbox_id, owner)
        for sandbox_id in (None, event.sandbox_id)
        for owner in (None, event.owner)
    ]
