"""How many sandboxes there are, for the metrics."""

from __future__ import annotations

from sqlalchemy import exists, func, select

from gateway.store.database import Database
from gateway.store.tables import leases, sandboxes

_ALWAYS_SHOWN = ("starting", "idle", "connected", "removing")


class StoreCensus:
    """Implements `gateway.metrics.Census`. Each call is one short read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sandboxes_by_state(self) -> dict[str, int]:
        """Those that have not ended, in the words that clients know: `ready` ones are `idle` or
        `connected`. Raises StoreUnavailable."""
        leased = exists().where(leases.c.sandbox_id == sandboxes.c.sandbox_id).label("leased")
        query = (
            select(sandboxes.c.state, leased, func.count())
            .where(sandboxes.c.state != "ended")
            .group_by(sandboxes.c.state, leased)
        )
        counted = dict.fromkeys(_ALWAYS_SHOWN, 0)
        for state, in_use, number in self._database.read(lambda c: c.execute(query).all()):
            if state == "ready":
                state = "connected" if in_use else "idle"
            counted[state] = counted.get(state, 0) + number
        return counted

    def pool_ready(self) -> dict[tuple[str, str], int]:
        """None: there is no pool."""
        return {}

    def queue_length(self) -> int:
        """0: nothing waits."""
        return 0
