"""The links to the processes that serve files, one per sandbox, beside those to the agents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gateway.errors import AgentMissing, AgentUnavailable, FeatureMissing, LinkLost, PathError
from gateway.files.exchange import Exchange
from gateway.link.bulk import Bulk
from gateway.link.link import Link
from gateway.link.links import Links
from gateway.use.place import Place
from gateway.use.sandbox_use import LINK_KEPT_S

TRIES = 3

OpenBulk = Callable[[str, dict[str, Any]], Bulk]
"""A connection for one large transfer, to a container and with a message. Raises AgentUnavailable
where there is no direct way."""


def _no_bulk(_container_id: str, _message: dict[str, Any]) -> Bulk:
    raise AgentUnavailable("there is no direct way")


def links_to_files(links_to_agents: Links, dial: Callable[[str, Link], Link]) -> Links:
    """Links to the processes that serve files. `dial` makes one over a link to the agent, which is
    held meanwhile (`gateway.link.dial.Dialler.files`)."""

    def dial_by_agent(container_id: str) -> Link:
        with links_to_agents.using(container_id, LINK_KEPT_S):
            return dial(container_id, links_to_agents.get(container_id))

    return Links(dial_by_agent)


class FileLinks:
    """Opens operations. To be used within `using`."""

    def __init__(self, links: Links, open_bulk: OpenBulk = _no_bulk) -> None:
        self._links = links
        self._open_bulk = open_bulk

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

    def bulk(self, place: Place, operation: str, token: object, **fields: Any) -> Bulk | None:
        """Claim what an operation has offered; None where that cannot be, so that it goes on in
        frames."""
        if not isinstance(token, str):
            return None
        try:
            return self._open_bulk(place.container_id, {"op": operation, "token": token, **fields})
        except (AgentUnavailable, LinkLost, PathError):
            return None

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
