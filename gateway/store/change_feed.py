"""Tells whoever waits in this process that something was written, by whichever process.

One greenlet looks, however many wait. `PRAGMA data_version` changes when another connection has
committed (SQLite's documentation of pragmas); what this process commits itself is counted by its
`Database`. A look costs some 30 µs.
"""

from __future__ import annotations

import logging

import gevent
from gevent.event import Event

from gateway.errors import StoreUnavailable
from gateway.store.database import Database

log = logging.getLogger(__name__)

LOOK_S = 0.05


class ChangeFeed:
    """Counts changes, as far as they were seen. Owns a greenlet while anybody waits.

    Take `mark` first, then look at the store, then wait: no change is missed in between.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: tuple[int, int] | None = None
        self._waiting = 0
        self._changed = Event()
        self._looking: gevent.Greenlet | None = None
        self.mark = 0

    def wait_after(self, mark: int, timeout_s: float) -> bool:
        """Wait until there was a change after `mark`; whether there was one within the time."""
        if self.mark != mark:
            return True
        self._waiting += 1
        try:
            if not self._looking:
                self._looking = gevent.spawn(self._look_while_wanted)
            return bool(self._changed.wait(timeout_s)) or self.mark != mark
        finally:
            self._waiting -= 1

    def _look_while_wanted(self) -> None:
        try:
            while self._waiting:
                self._look()
                gevent.sleep(LOOK_S)
        except Exception:
            log.exception("the store's changes cannot be followed")
        finally:
            self._looking = None

    def _look(self) -> None:
        try:
            seen = self._database.version()
        except StoreUnavailable:
            seen = None  # whoever waits finds out by himself
        if seen is None or seen != self._seen:
            self._seen = seen
            self.mark += 1
            changed, self._changed = self._changed, Event()
            changed.set()
