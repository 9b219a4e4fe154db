"""Transitions from one state of a sandbox to another: each is one compare-and-set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Update, bindparam, exists, update

from gateway.store.database import Database
from gateway.store.events import record
from gateway.store.tables import leases, sandboxes


def transition(
    database: Database,
    sandbox_id: str,
    states: Collection[str],
    event: str | None,
    facts: Mapping[str, Any] | None = None,
    **values: Any,
) -> bool:
    """Change a sandbox that is in one of the states, and record the event. False when it is not.

    Raises StoreUnavailable.
    """

    statement = _statement(tuple(states), tuple(values))
    given = {f"new_{name}": value for name, value in values.items()} | {"of_id": sandbox_id}

    def work(connection: Connection) -> bool:
        changed = connection.execute(statement, given)
        if changed.rowcount and event is not None:
            record(connection, sandbox_id, event, **(facts or {}))
        return changed.rowcount > 0

    return database.write(work)


@lru_cache(maxsize=64)
def _statement(states: tuple[str, ...], names: tuple[str, ...]) -> Update:
    """Built once for each place that makes a transition: that takes ten times as long as SQLite
    needs to carry it out."""
    return (
        update(sandboxes)
        .where(sandboxes.c.sandbox_id == bindparam("of_id"), sandboxes.c.state.in_(states))
        .values({name: bindparam(f"new_{name}", type_=sandboxes.c[name].type) for name in names})
    )


def still_idle(sandbox_id: str, state: str, idle_since: float) -> tuple[Any, ...]:
    """Nobody has come since the row was read: a connect adds a lease, a disconnect changes
    `idle_since`. In a paused sandbox only clients count, because no command can run."""
    in_use = exists().where(leases.c.sandbox_id == sandbox_id)
    if state == "paused":
        in_use = in_use.where(leases.c.purpose != "command")
    return (
        sandboxes.c.sandbox_id == sandbox_id,
        sandboxes.c.state == state,
        sandboxes.c.idle_since == idle_since,
        ~in_use,
    )
