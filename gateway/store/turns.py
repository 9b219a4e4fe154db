"""Whose turn it is among those that wait for room: a pure function of who waits and who has what.

Tickets are served in their order, but one that does not fit now is passed by those that do: a
tenant that has much and wants more holds up nobody. So that large ones are not passed for ever, the
first ticket of each owner ages. Aged ones are served first. While an aged one does not fit, owners
may only go on up to a bar, which sinks from their fair part of the memory (all of it, divided by
the owners that have or want some) to nothing: first those wait who have most, at last everybody,
until what runs has ended and the large one fits. Whoever has little waits for a tenth of the time
that a create may wait, at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

AGED_AFTER = 1 / 3
"""Of the time that a create may wait. Then its ticket is aged, and the bar begins to sink."""

ALONE_AFTER = 9 / 10
"""Then the bar is at nothing: nobody passes any more."""


@dataclass(frozen=True)
class Room:
    """What the host bears. None: no limit."""

    sandboxes: int | None
    memory_mb: int | None


@dataclass(frozen=True)
class Holding:
    """What an owner has."""

    sandboxes: int = 0
    memory_mb: int = 0


@dataclass(frozen=True)
class Ticket:
    """A create that waits. `share_…`: the most that its owner may have, while there are others.

    `ages_from` is the boot time since which it is its owner's first one; None while it is not.
    `wait_s` is how long it may wait; 0: it does not age.
    """

    number: int
    owner: str
    memory_mb: int = 0
    share_sandboxes: int | None = None
    share_memory_mb: int | None = None
    ages_from: float | None = None
    wait_s: float = 0.0

    def progress(self, now: float) -> float | None:
        """From 0 when it is aged to 1 when nobody may pass it any more. None before."""
        if self.ages_from is None or self.wait_s <= 0:
            return None
        waited = (now - self.ages_from) / self.wait_s
        if waited < AGED_AFTER:
            return None
        return min(1.0, (waited - AGED_AFTER) / (ALONE_AFTER - AGED_AFTER))


NOTHING = Holding()


def whose_turn(
    tickets: Sequence[Ticket], held: Mapping[str, Holding], room: Room, now: float
) -> int | None:
    """The number of the ticket that may be served now; None when none fits.

    `tickets` are in the order of their turns. `now` is boot time in seconds.
    """
    has = Holding(
        sum(one.sandboxes for one in held.values()), sum(one.memory_mb for one in held.values())
    )
    if room.sandboxes is not None and has.sandboxes >= room.sandboxes:
        return None
    allowed = [ticket for ticket in tickets if _within_share(ticket, held)]
    bar_mb = _bar_mb(allowed, tickets, held, has, room, now)
    for ticket in sorted(allowed, key=lambda one: one.progress(now) is None):
        if not _fits(ticket, has, room):
            continue
        if held.get(ticket.owner, NOTHING).memory_mb + ticket.memory_mb <= bar_mb:
            return ticket.number
    return None


def _within_share(ticket: Ticket, held: Mapping[str, Holding]) -> bool:
    """Whoever has nothing may have one, of any size that the host bears."""
    has = held.get(ticket.owner, NOTHING)
    if has.sandboxes == 0:
        return True
    return not (
        _exceeds(has.sandboxes + 1, ticket.share_sandboxes)
        or _exceeds(has.memory_mb + ticket.memory_mb, ticket.share_memory_mb)
    )


def _fits(ticket: Ticket, has: Holding, room: Room) -> bool:
    return not _exceeds(has.memory_mb + ticket.memory_mb, room.memory_mb)


def _bar_mb(
    allowed: Iterable[Ticket],
    tickets: Iterable[Ticket],
    held: Mapping[str, Holding],
    has: Holding,
    room: Room,
    now: float,
) -> float:
    """Up to what an owner may have, with its ticket, to pass those that are aged and do not fit."""
    if room.memory_mb is None:
        return math.inf
    furthest = [
        progress
        for ticket in allowed
        if ticket.memory_mb <= room.memory_mb and not _fits(ticket, has, room)
        if (progress := ticket.progress(now)) is not None
    ]
    if not furthest:
        return math.inf
    owners = {*held, *(ticket.owner for ticket in tickets)}
    return room.memory_mb / len(owners) * (1 - max(furthest))


def _exceeds(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit
