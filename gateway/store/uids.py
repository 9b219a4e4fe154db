"""Users of their own for sandboxes: a number that no other live one has."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, select

from gateway.store.rows import LIVE
from gateway.store.tables import sandboxes

_WITH_CONTAINER = (*LIVE, "pooling", "pooled")

_TAKEN = select(sandboxes.c.uid).where(sandboxes.c.state.in_(_WITH_CONTAINER))

_GUESSES = 16


def free_uid(connection: Connection, uids: range) -> int | None:
    """One of `uids` that no sandbox has, pooled ones included; None when there is none. To be
    called in the write transaction that notes the row: so two workers never get the same.

    It is drawn by lot: the container of one that has just ended may be there for a moment longer,
    and gateways of other data directories have the same numbers to draw from.
    Raises SQLAlchemyError.
    """
    if not uids:
        return None
    taken = {found[0] for found in connection.execute(_TAKEN)}
    for _ in range(_GUESSES):
        uid = secrets.choice(uids)
        if uid not in taken:
            return uid
    free = [uid for uid in uids if uid not in taken]
    return secrets.choice(free) if free else None
