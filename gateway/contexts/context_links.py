"""The links to the processes that serve code contexts, one per sandbox, beside those to agents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gateway.errors import AgentMissing, FeatureMissing, LinkLost
from gateway.link.ask import ask
from gateway.link.link import Link
from gateway.link.links import Links
from gateway.use.place import Place
from gateway.use.sandbox_use import LINK_KEPT_S

TRIES = 3


def links_to_contexts(links_to_agents: Links, dial: Callable[[str, Link], Link]) -> Links:
    """Links to the processes that serve contexts. `dial` makes one over a link to the agent, which
    is held meanwhile (`gateway.link.dial.Dialler.contexts`)."""

    def dial_by_agent(container_id: str) -> Link:
        with links_to_agents.using(container_id, LINK_KEPT_S):
            return dial(container_id, links_to_agents.get(container_id))

    return Links(dial_by_agent)


class ContextLinks:
    """Everything raises FeatureMissing where there are no contexts, and what dialling does."""

    def __init__(self, links: Links) -> None:
        self._links = links

    @contextmanager
    def link(self, place: Place) -> Iterator[Link]:
        """A sandbox's link, which stays a while for the next."""
        with self._links.using(place.container_id, LINK_KEPT_S):
            try:
                link = self._links.get(place.container_id)
            except AgentMissing:
                raise FeatureMissing() from None
            yield link

    def ask(self, place: Place, operation: str, **fields: Any) -> dict[str, Any]:
        """An operation that has one answer, once. Raises what it is refused for, and LinkLost."""
        with self.link(place) as link:
            return ask(link, operation, **fields)

    def ask_again(self, place: Place, operation: str, **fields: Any) -> dict[str, Any]:
        """Likewise, on another link when one breaks: only for what may be done twice."""
        for _ in range(TRIES - 1):
            try:
                return self.ask(place, operation, **fields)
            except LinkLost:
                continue
        return self.ask(place, operation, **fields)
