"""Change feeds for parts that are tested without a store."""

from __future__ import annotations

import gevent

from gateway.process.change_feed import ChangeFeed


class _Silent:
    def wait(self, timeout_s: float) -> None:
        gevent.sleep(timeout_s)


def quiet_feed() -> ChangeFeed:
    """Nothing changes, but for what is unknown at the first look."""
    return ChangeFeed(lambda: 0, _Silent())
