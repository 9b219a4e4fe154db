"""Sandboxes that stand ready have a kernel that runs, where their image is made for code."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.errors import GatewayError
from gateway.link.link import Link
from gateway.link.links import Links
from gateway.use.sandbox_use import LINK_KEPT_S

log = logging.getLogger(__name__)


class Warming:
    """`start` has the agent at the other end of a link start what serves contexts, if the image is
    made for it (`gateway.link.dial.Dialler.warm_contexts`), and waits until it serves."""

    def __init__(self, links: Links, start: Callable[[Link], None]) -> None:
        self._links = links
        self._start = start

    def warm(self, container_id: str) -> None:
        """Whoever uses a sandbox where this did not succeed waits then, and finds out why."""
        try:
            with self._links.using(container_id, LINK_KEPT_S):
                self._start(self._links.get(container_id))
        except GatewayError as error:
            log.debug("container %.12s has no kernel in advance: %s", container_id, error)
