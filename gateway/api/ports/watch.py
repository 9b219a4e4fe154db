"""How long an exchange with a server in a sandbox may go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import WeakSet

from gateway.api.ports.client import ClientLeft
from gateway.errors import PortFailed

CHECK_S = 1.0
"""How often it is looked whether the caller is still welcome."""


class Stopped(Exception):
    """The gateway ends the exchange: it stops itself, or the caller's key or token has ended."""


class Watch:
    """Looked at by whoever waits, and whenever bytes have passed; for one exchange."""

    def __init__(
        self, idle_s: float, has_left: Callable[[], bool], is_welcome: Callable[[], bool]
    ) -> None:
        self._idle_s = idle_s
        self._has_left = has_left
        self._is_welcome = is_welcome
        self._is_stopping = False
        now = time.monotonic()
        self._moved_at = now
        self._next_check = now + CHECK_S

    def moved(self) -> None:
        """Bytes have passed. Raises Stopped."""
        now = self._moved_at = time.monotonic()
        if now >= self._next_check:
            self._check(now)

    def look(self) -> None:
        """None have passed for a while. Raises Stopped, ClientLeft, and PortFailed after the
        longest silence."""
        now = time.monotonic()
        self._check(now)
        if self._has_left():
            raise ClientLeft("it has ended the connection")
        if now - self._moved_at >= self._idle_s:
            raise PortFailed(f"nothing was sent for {self._idle_s:g} s")

    def _check(self, now: float) -> None:
        self._next_check = now + CHECK_S
        if self._is_stopping or not self._is_welcome():
            raise Stopped

    def stop(self) -> None:
        """Let the exchange end within a second or so."""
        self._is_stopping = True


class OpenExchanges:
    """Those that have no end of their own: they shall not keep a process that is told to stop."""

    def __init__(self) -> None:
        self._endless: WeakSet[Watch] = WeakSet()
        self._is_stopping = False

    def add(self, watch: Watch) -> None:
        """One more, until it is forgotten."""
        self._endless.add(watch)
        if self._is_stopping:
            watch.stop()

    def close(self) -> None:
        """End them all. May be repeated."""
        self._is_stopping = True
        for watch in list(self._endless):
            watch.stop()
