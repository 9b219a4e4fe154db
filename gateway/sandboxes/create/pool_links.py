"""A link from this worker into each pooled sandbox, whichever worker made it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from gateway.errors import GatewayError
from gateway.process.change_feed import ChangeFeed
from gateway.process.periodic import PeriodicLoop

log = logging.getLogger(__name__)

LOOK_S = 2.0
"""Seconds until a pooled sandbox that has lost its link is linked again."""

SETTLE_S = 0.1
"""Seconds until a pooled sandbox that another worker has made is linked."""


class Standby:
    """Whoever takes a pooled sandbox, and whoever uses it first, finds its link open.

    `pooled` gives the containers that stand ready; `using` holds a container's link open, and
    `warm_up` makes it (`gateway.commands.run_and_steer.Commands`). Owns one greenlet.
    """

    def __init__(
        self,
        pooled: Callable[[], set[str]],
        using: Callable[[str], AbstractContextManager[None]],
        warm_up: Callable[[str], None],
        feed: ChangeFeed,
    ) -> None:
        self._pooled = pooled
        self._using = using
        self._warm_up = warm_up
        self._held: dict[str, ExitStack] = {}
        self._loop = PeriodicLoop(
            "looking after the links of pooled sandboxes",
            self.look,
            LOOK_S,
            feed=feed,
            settle_s=SETTLE_S,
            error_level=logging.DEBUG,
        )

    def start(self) -> None:
        """Begin to look after the links."""
        self._loop.start()

    def look(self) -> None:
        """Link what is new or has lost its link, and let go of what is pooled no more. Raises
        StoreUnavailable."""
        pooled = self._pooled()
        for container_id in self._held.keys() - pooled:
            self._held.pop(container_id).close()
        for container_id in pooled:
            if container_id not in self._held:
                held = self._held[container_id] = ExitStack()
                held.enter_context(self._using(container_id))
            try:
                self._warm_up(container_id)
            except GatewayError as error:
                # Whoever takes it finds out for himself, and so does reconciliation.
                log.debug("cannot link pooled container %.12s: %s", container_id, error)

    def close(self) -> None:
        """Let go of everything. May be repeated."""
        self._loop.close()
        for container_id in list(self._held):
            self._held.pop(container_id).close()
