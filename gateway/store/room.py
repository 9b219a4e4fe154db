"""Whether there is room for one more sandbox: on the host, and for its owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from gateway.store.rows import LIVE, SandboxRow
from gateway.store.tables import sandboxes, tickets
from gateway.store.turns import Holding, Room, Ticket, whose_turn


@dataclass(frozen=True)
class Limits:
    """What all sandboxes together, and those of one owner, may come to. None: no limit."""

    sandboxes: int | None = None
    memory_mb: int | None = None
    of_owner: int | None = None
    cpus_of_owner: float | None = None
    memory_mb_of_owner: int | None = None
    share_sandboxes: int | None = None
    share_memory_mb: int | None = None
    """What one owner may have while there are others: beyond it a create waits, as it does when
    the host is full."""

    @property
    def room(self) -> Room:
        """What the host bears."""
        return Room(self.sandboxes, self.memory_mb)


def owner_is_full(connection: Connection, wanted: SandboxRow, limits: Limits) -> bool:
    """Whether the owner may have no more, waiting or not. Raises SQLAlchemyError."""
    if (limits.of_owner, limits.cpus_of_owner, limits.memory_mb_of_owner) == (None, None, None):
        return False
    theirs = (sandboxes.c.state.in_(LIVE), sandboxes.c.owner == wanted.owner)
    count, cpus, memory_mb = _sums(connection, *theirs)
    return (
        exceeds(count + 1, limits.of_owner)
        or exceeds(cpus + wanted.cpus, limits.cpus_of_owner)
        or exceeds(memory_mb + wanted.memory_mb, limits.memory_mb_of_owner)
    )


def has_room(
    connection: Connection, wanted: SandboxRow, limits: Limits, ticket: int | None, now: float
) -> bool:
    """Whether it is the ticket's turn, or, without one, nobody's who waits and there is room.
    Raises SQLAlchemyError."""
    queue = waiting(connection, now)
    if ticket is None:
        queue.append(
            Ticket(
                _NEWCOMER,
                wanted.owner,
                wanted.memory_mb,
                limits.share_sandboxes,
                limits.share_memory_mb,
            )
        )
    return whose_turn(queue, held(connection), limits.room, now) == (ticket or _NEWCOMER)


_NEWCOMER = 0
"""No ticket has this number."""


def waiting(connection: Connection, now: float) -> list[Ticket]:
    """The tickets in the order of their turns. Raises SQLAlchemyError."""
    return [Ticket(*found) for found in connection.execute(_WAITING, {"now": now})]


def waits(connection: Connection, now: float) -> bool:
    """Whether anybody does. Raises SQLAlchemyError."""
    return connection.execute(_WAITING.limit(1), {"now": now}).first() is not None


def held(connection: Connection) -> dict[str, Holding]:
    """What each owner has. Raises SQLAlchemyError."""
    return {
        owner: Holding(int(count), int(memory_mb))
        for owner, count, memory_mb in connection.execute(_HELD)
    }


def _sums(connection: Connection, *conditions: Any) -> tuple[int, float, int]:
    query = select(
        func.count(),
        func.coalesce(func.sum(sandboxes.c.cpus), 0.0),
        func.coalesce(func.sum(sandboxes.c.memory_mb), 0),
    ).where(*conditions)
    count, cpus, memory_mb = connection.execute(query).one()
    return int(count), float(cpus), int(memory_mb)


def exceeds(value: float, limit: float | None) -> bool:
    """Whether a value is beyond its limit. None: there is no limit."""
    return limit is not None and value > limit


# Built once: to build them takes SQLAlchemy five times as long as SQLite needs to carry them out.

_WAITING = (
    select(
        tickets.c.number,
        tickets.c.owner,
        tickets.c.memory_mb,
        tickets.c.share_sandboxes,
        tickets.c.share_memory_mb,
        tickets.c.ages_from,
        tickets.c.wait_s,
    )
    .where(tickets.c.valid_until >= bindparam("now"))
    .order_by(tickets.c.turn, tickets.c.number)
)

# Pooled ones do not count: they are taken, or make room (`gateway.sandboxes.pool`).
_HELD = (
    select(sandboxes.c.owner, func.count(), func.coalesce(func.sum(sandboxes.c.memory_mb), 0))
    .where(sandboxes.c.state.in_(LIVE))
    .group_by(sandboxes.c.owner)
)
