"""The links to the processes that serve files, one per sandbox, beside those to the agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gateway.errors import AgentMissing, FeatureMissing, LinkLost
from gateway.files.exchange import Exchange
from gateway.link.links import Links
from gateway.use.place import Place
from gateway.use.sandbox_use import LINK_KEPT_S

TRIES = 3


class FileLinks:
    """Opens operations. To be used within `using`."""

    def __init__(self, links: Links) -> None:
        self._links = links

    @contextmanager
    def using(self, place: Place) -> Iterator[None]:
        """Keep the link as long as inside, and a while longer."""
        with self._links.using(place.container_id, LINK_KEPT_S):
            yield

    def open(self, place: Place, operation: str, window: int = 0, **fields: Any) -> Exchange:
        """Begin an operation. Raises FeatureMissing where the sandbox has no agent, and what
        dialling does."""
        try:
            link = self._links.get(place.container_id)
        except AgentMissing:
            raise FeatureMissing() from None
        return Exchange(link, {"op": operation, **fields}, window)

    def ask(self, place: Place, operation: str, **fields: Any) -> dict[str, Any]:
        """An operation that has one answer, once. Raises what it is refused for, and LinkLost."""
        with self.using(place), self.open(place, operation, **fields) as exchange:
            answer = exchange.event()
            exchange.finished()
            return answer

    def ask_again(self, place: Place, operation: str, **fields: Any) -> dict[str, Any]:
        """Likewise, on another link when one breaks: only for what changes nothing."""
        for _ in range(TRIES - 1):
            try:
                return self.ask(place, operation, **fields)
            except LinkLost:
                continue
        return self.ask(place, operation, **fields)
