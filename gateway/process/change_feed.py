"""Tells whoever waits in this process that something was written, by whichever process.

One greenlet waits for signals, however many wait for changes. A signal is a hint to look: what
counts is whether the store's version is another one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.event import Event

from gateway.errors import StoreUnavailable

log = logging.getLogger(__name__)

APART_S = 0.01
"""Between two changes that are told: a busy store is looked at a hundred times a second at most,
by each that waits."""

UNSIGNALLED_S = 1.0
"""How soon a change is seen that nobody signalled: of a process that was killed between its commit
and the signal, or of a tool."""


class Signal(Protocol):
    """See `gateway.process.change_signal.ChangeSignal`."""

    def wait(self, timeout_s: float) -> None: ...


class ChangeFeed:
    """Counts changes, as far as they were seen. Owns a greenlet while anybody waits.

    `version` is another one whenever something was written, and may raise StoreUnavailable. Take
    `mark` first, then look at the store, then wait: no change is missed in between.
    """

    def __init__(self, version: Callable[[], object], signal: Signal) -> None:
        self._version = version
        self._signal = signal
        self._seen: object = None
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
                if self._look():
                    gevent.sleep(APART_S)
                self._signal.wait(UNSIGNALLED_S)
        except Exception:
            log.exception("the store's changes cannot be followed")
        finally:
            self._looking = None

    def _look(self) -> bool:
        """Whether there was a change."""
        try:
            seen = self._version()
        except StoreUnavailable:
            seen = None  # whoever waits finds out by himself
        if seen is not None and seen == self._seen:
            return False
        self._seen = seen
        self.mark += 1
        changed, self._changed = self._changed, Event()
        changed.set()
        return True
