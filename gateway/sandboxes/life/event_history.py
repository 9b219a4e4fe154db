"""What happened to sandboxes, and what happens to them next."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager

from gateway.errors import SandboxNotFound
from gateway.process.giving_way import give_way
from gateway.process.slices_of_work import SLICE, slice_of_work
from gateway.process.time_shares import wait_for_share
from gateway.sandboxes.life.event_followers import Followers
from gateway.store.events import EventRow, EventStore
from gateway.store.sandboxes import SandboxStore

OVER_S = 15.0
"""How often a follower of one sandbox looks whether that is still there, beside its events."""


class Lifecycle:
    """Tells events, of one sandbox or of all of an owner (None: everybody's)."""

    def __init__(self, events: EventStore, sandboxes: SandboxStore, followers: Followers) -> None:
        self._events = events
        self._sandboxes = sandboxes
        self._followers = followers

    def since(
        self, number: int, *, sandbox_id: str | None = None, owner: str | None = None, limit: int
    ) -> list[EventRow]:
        """Those after `number`, oldest first. Raises SandboxNotFound."""
        self._require(sandbox_id)
        found: list[EventRow] = []
        while len(found) < limit:
            wanted = min(SLICE, limit - len(found))
            with slice_of_work():
                some = self._events.since(number, sandbox_id=sandbox_id, owner=owner, limit=wanted)
            found += some
            if len(some) < wanted:
                break
            number = some[-1].number
        return found

    def last_number(self) -> int:
        """Of the latest event of all."""
        return self._events.last_number()

    def follow(
        self, number: int, *, sandbox_id: str | None = None, owner: str | None = None
    ) -> Generator[list[EventRow], None, None]:
        """Those after `number`, and then what happens, as it does, as many at a time as there are.
        Those of one sandbox come to their end with it.

        One event may be for hundreds of followers of one caller: they go on one after the other,
        when that one's share of the worker's time allows, and get in one piece what has come until
        then. All at once they kept the others' greenlets waiting for 50 to 220 ms at each step.
        """
        with self._followers.listening(sandbox_id, owner) as heard:
            while True:
                heard.clear()
                # Asked first: its last event is written together with its end.
                is_over = sandbox_id is not None and self._is_over(sandbox_id)
                # What followers are told may be a moment behind.
                source = self._events if is_over else self._followers
                found = source.since(number, sandbox_id=sandbox_id, owner=owner, limit=SLICE)
                if found:
                    yield found
                    number = found[-1].number
                    if sandbox_id is not None and any(event.event == "ended" for event in found):
                        return
                elif is_over:
                    return
                else:
                    heard.wait(OVER_S)
                give_way()
                wait_for_share()

    def place_of(self, owner: str) -> AbstractContextManager[None]:
        """Within it `owner` follows. Raises TooManyFollowers."""
        return self._followers.place_of(owner)

    def _require(self, sandbox_id: str | None) -> None:
        if sandbox_id is not None:
            row = self._sandboxes.get(sandbox_id)
            if row is None or row.state in ("pooling", "pooled"):
                raise SandboxNotFound(sandbox_id)

    def _is_over(self, sandbox_id: str) -> bool:
        row = self._sandboxes.get(sandbox_id)
        return row is None or row.state == "ended"
