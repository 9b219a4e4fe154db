"""Followers of a sandbox see its last event, whenever it ends."""

from __future__ import annotations

from gateway.sandboxes.life.event_followers import Followers
from gateway.sandboxes.life.event_history import Lifecycle
from gateway.store.events import EventRow
from tests.support.rows import row_of


class EndsMeanwhile:
    """Both stores. The sandbox ends right after its events were read."""

    def __init__(self) -> None:
        self.events = [EventRow(1, "s", 1.0, "created", {})]
        self.is_over = False

    def since(self, number: int, **_only: object) -> list[EventRow]:
        found = [event for event in self.events if event.number > number]
        if not found and not self.is_over:
            self.is_over = True
            self.events.append(EventRow(2, "s", 2.0, "ended", {"reason": "timeout"}))
        return found

    def get(self, sandbox_id: str) -> object:
        return row_of(sandbox_id=sandbox_id, state="ended" if self.is_over else "ready")


def _lifecycle(stores: EndsMeanwhile) -> Lifecycle:
    followers = Followers(stores, None, 10)  # type: ignore[arg-type]
    return Lifecycle(stores, stores, followers)  # type: ignore[arg-type]


def test_an_end_between_two_looks_is_told() -> None:
    stores = EndsMeanwhile()
    lifecycle = _lifecycle(stores)

    told = [event.event for events in lifecycle.follow(0, sandbox_id="s") for event in events]

    assert told == ["created", "ended"]


def test_whoever_comes_after_the_last_event_is_sent_away() -> None:
    stores = EndsMeanwhile()
    stores.since(1)
    lifecycle = _lifecycle(stores)

    assert list(lifecycle.follow(2, sandbox_id="s")) == []
