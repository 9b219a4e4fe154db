"""How long an exchange with a server in a sandbox may go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import WeakSet

from gateway import clock
from gateway.api.ports.client import ClientLeft
from gateway.errors import PortFailed

CHECK_S = 1.0
"""How often it is looked whether the caller is still welcome."""


class Stopped(Exception):
    """The gateway ends the exchange: it stops itself, or the caller's key or token has ended."""


class Watch:
    """Looked at by whoever waits, and before bytes are passed; for one exchange.

    `wake` is told since when (boot time) the client waits for the server to say something: the
    sandbox may have been paused before.
    """

    def __init__(
        self,
        idle_s: float,
        has_left: Callable[[], bool],
        is_welcome: Callable[[], bool],
        wake: Callable[[float], None],
    ) -> None:
        self._idle_s = idle_s
        self._has_left = has_left
        self._is_welcome = is_welcome
        self._wake = wake
        self._asked_at: float | None = clock.boot_s()
        self.is_stopping = False
        """Whether the gateway is."""
        now = time.monotonic()
        self._moved_at = now
        self._next_check = now + CHECK_S

    def asked(self) -> None:
        """The client has sent something."""
        self._moved_at = time.monotonic()
        self._asked_at = clock.boot_s()

    def answered(self) -> None:
        """The server has sent something."""
        self._moved_at = time.monotonic()
        self._asked_at = None

    def check(self) -> None:
        """To be called between bytes. Raises Stopped."""
        now = time.monotonic()
        if now >= self._next_check:
            self._check(now)

    def look(self) -> None:
        """None have passed for a while. Raises Stopped, ClientLeft, and PortFailed after the
        longest silence."""
        now = time.monotonic()
        self._check(now)
        if self._asked_at is not None:
            self._wake(self._asked_at)
        if self._has_left():
            raise ClientLeft("it has ended the connection")
        if now - self._moved_at >= self._idle_s:
            raise PortFailed(f"nothing was sent for {self._idle_s:g} s")

    def _check(self, now: float) -> None:
        self._next_check = now + CHECK_S
        if self.is_stopping or not self._is_welcome():
            raise Stopped

    def stop(self) -> None:
        """Let the exchange end within a second or so."""
        self.is_stopping = True


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
