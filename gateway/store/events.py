"""What happened to sandboxes: written in the transaction that makes it happen, read by anybody."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from gateway import clock
from gateway.store.allowance import over, trim
from gateway.store.database import Database
from gateway.store.tables import events, sandboxes

AT_A_TIME = 1000
"""Rows that one transaction removes."""


@dataclass(frozen=True)
class EventRow:
    """One event. `number` rises with time, over all sandboxes and workers."""

    number: int
    sandbox_id: str
    at: float
    event: str
    facts: Mapping[str, Any]
    owner: str = ""


def record(connection: Connection, sandbox_id: str, event: str, **facts: Any) -> None:
    """Note that something happened to a sandbox, within the transaction of `connection`.

    `facts` must be bounded: whoever writes events can be made to write many.
    Raises SQLAlchemyError.
    """
    values = {"sandbox_id": sandbox_id, "at": clock.wall_s(), "event": event, "facts": facts}
    owner = connection.execute(_RECORD, {"of": sandbox_id, **values}).scalar_one()
    trim(connection, owner, "events")


_OWNER = select(sandboxes.c.owner).where(sandboxes.c.sandbox_id == bindparam("of"))
_RECORD = (
    insert(events)
    .values(owner=func.coalesce(_OWNER.scalar_subquery(), ""))
    .returning(events.c.owner)
)


_COLUMNS = [events.c[column.name].label(column.name) for column in fields(EventRow)]


class EventStore:
    """Reads events, oldest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, sandbox_id: str, event: str, **facts: Any) -> None:
        """Write an event that belongs to no other change. Raises StoreUnavailable."""
        self._database.write(lambda c: record(c, sandbox_id, event, **facts))

    def since(
        self, number: int, *, sandbox_id: str | None, owner: str | None, limit: int
    ) -> list[EventRow]:
        """Events after `number`: of one sandbox or all, of one owner's sandboxes or everybody's.

        Raises StoreUnavailable.
        """
        query = select(*_COLUMNS).where(events.c.number > number)
        if sandbox_id is not None:
            query = query.where(events.c.sandbox_id == sandbox_id)
        if owner is not None:
            query = query.where(events.c.owner == owner)
        query = query.order_by(events.c.number).limit(limit)
        return self._database.read(
            lambda c: [EventRow(**found._mapping) for found in c.execute(query)]
        )

    def last_at(self, sandbox_id: str, event: str) -> float | None:
        """When an event of this kind last happened to a sandbox, in seconds since the epoch.

        Raises StoreUnavailable.
        """
        query = select(func.max(events.c.at)).where(
            events.c.sandbox_id == sandbox_id, events.c.event == event
        )
        return self._database.read(lambda c: cast("float | None", c.execute(query).scalar_one()))

    def last_number(self) -> int:
        """Of the latest event; 0 when there was none yet. Raises StoreUnavailable."""
        query = select(func.coalesce(func.max(events.c.number), 0))
        return self._database.read(lambda c: int(c.execute(query).scalar_one()))

    def forget(self, *, before: float) -> None:
        """Drop events from before a wall-clock time, and whatever else is too much of an owner's.

        In short transactions: an earlier version may have left gigabytes. Raises StoreUnavailable.
        """
        some = select(events.c.number).where(events.c.at < before).limit(AT_A_TIME)
        drop = delete(events).where(events.c.number.in_(some.scalar_subquery()))
        while self._database.write(lambda c: c.execute(drop).rowcount):
            time.sleep(0)
        for owner, kind in self._database.read(over):
            while self._database.write(lambda c, o=owner, k=kind: trim(c, o, k)):  # type: ignore[misc]
                time.sleep(0)
