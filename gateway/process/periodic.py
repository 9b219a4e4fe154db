"""What is done again and again by one greenlet."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

from gateway.errors import GatewayError
from gateway.process.change_feed import ChangeFeed

log = logging.getLogger(__name__)


class PeriodicLoop:
    """Does `work`, waits, and does it again; what it raises is logged, and ends nothing.

    `name` says in the log what failed. Between two rounds are `every_s` seconds, or
    `after_failure_s` when the last one raised. With a `feed` a change in the store ends that wait,
    and the next round begins `settle_s` later, so that what comes in a crowd makes one round.
    `error_level` is that of errors of the gateway's own; others come with their traceback.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        every_s: float,
        *,
        feed: ChangeFeed | None = None,
        after_failure_s: float | None = None,
        settle_s: float = 0.0,
        error_level: int = logging.WARNING,
    ) -> None:
        self._name = name
        self._work = work
        self._every_s = every_s
        self._after_failure_s = every_s if after_failure_s is None else after_failure_s
        self._settle_s = settle_s
        self._error_level = error_level
        self._feed = feed
        self._greenlet: gevent.Greenlet | None = None

    def start(self, *, first_after_s: float = 0.0) -> None:
        """Begin, in a greenlet of its own, with the first round after so many seconds."""
        self._greenlet = gevent.spawn(self.run, first_after_s=first_after_s)

    def run(self, *, first_after_s: float = 0.0) -> None:
        """Begin, in this greenlet. Never returns."""
        if first_after_s:
            gevent.sleep(first_after_s)
        while True:
            failed = False
            mark = self._feed.mark if self._feed is not None else 0
            try:
                self._work()
            except GatewayError as error:
                log.log(self._error_level, "%s: %s", self._name, error)
                failed = True
            except Exception:
                log.exception("%s failed", self._name)
                failed = True
            if failed:  # is not repeated for somebody else's change
                gevent.sleep(self._after_failure_s)
            elif self._feed is None:
                gevent.sleep(self._every_s)
            elif self._feed.wait_after(mark, self._every_s):
                gevent.sleep(self._settle_s)

    def close(self) -> None:
        """Stop, in the middle of a round too. May be repeated."""
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.kill()
