"""How many sandboxes there are, and how many are waited for: for the metrics."""

from __future__ import annotations

from sqlalchemy import exists, func, select

from gateway import clock
from gateway.store.database import Database
from gateway.store.pool import POOLED
from gateway.store.tables import leases, sandboxes, tickets

_ALWAYS_SHOWN = ("starting", "idle", "connected", "paused", "removing")


class StoreCensus:
    """Implements `gateway.metrics.Census`. Each call is one short read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sandboxes_by_state(self) -> dict[str, int]:
        """Those that somebody has and that have not ended, in the words that clients know: `ready`
        ones are `idle` or `connected`. Raises StoreUnavailable."""
        is_its = leases.c.sandbox_id == sandboxes.c.sandbox_id
        leased = exists().where(is_its, leases.c.purpose != "request").label("leased")
        query = (
            select(sandboxes.c.state, leased, func.count())
            .where(sandboxes.c.state.not_in(("ended", *POOLED)))
            .group_by(sandboxes.c.state, leased)
        )
        counted = dict.fromkeys(_ALWAYS_SHOWN, 0)
        for state, in_use, number in self._database.read(lambda c: c.execute(query).all()):
            if state == "ready":
                state = "connected" if in_use else "idle"
            counted[state] = counted.get(state, 0) + number
        return counted

    def pool_ready(self) -> dict[tuple[str, str], int]:
        """Those that stand ready, by image and isolation. Raises StoreUnavailable."""
        kind = sandboxes.c.image, sandboxes.c.isolation
        query = select(*kind, func.count()).where(sandboxes.c.state == "pooled").group_by(*kind)
        found = self._database.read(lambda c: c.execute(query).all())
        return {(image, isolation): number for image, isolation, number in found}

    def queue_length(self) -> int:
        """Creates that hold a ticket. Raises StoreUnavailable."""
        query = select(func.count()).where(tickets.c.valid_until >= clock.boot_s())
        return self._database.read(lambda c: int(c.execute(query).scalar_one()))
