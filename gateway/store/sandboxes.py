"""Sandboxes and leases: every change of state is one compare-and-set.

`starting` → `ready` → `removing` → `ended`. Two workers may both try a step; one wins.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, func, insert, literal, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_ignore

from gateway.store.database import Database
from gateway.store.tables import leases, sandboxes


@dataclass(frozen=True)
class SandboxRow:
    """A sandbox as the store knows it. `lease_count` is over all workers."""

    sandbox_id: str
    state: str
    container_id: str | None
    worker_id: str | None
    created_at: float
    ip_address: str | None
    idle_since: float
    boot_id: str
    end_reason: str | None
    lease_count: int


class SandboxStore:
    """Queries and changes. Times `now` and `idle_since` are boot time in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading -------------------------------------------------------------------------------

    def get(self, sandbox_id: str) -> SandboxRow | None:
        """The sandbox, ended ones included."""
        found = self._select(sandboxes.c.sandbox_id == sandbox_id)
        return found[0] if found else None

    def live(self) -> list[SandboxRow]:
        """All that have not ended, oldest first."""
        return self._select(sandboxes.c.state != "ended")

    def end_reasons(self, sandbox_ids: Collection[str]) -> dict[str, str]:
        """Per known sandbox why it ended, or "" while it lives. Absent: no such sandbox."""
        query = select(sandboxes.c.sandbox_id, sandboxes.c.state, sandboxes.c.end_reason).where(
            sandboxes.c.sandbox_id.in_(sandbox_ids)
        )
        return self._database.read(
            lambda c: {
                sandbox_id: (reason or "deleted") if state == "ended" else ""
                for sandbox_id, state, reason in c.execute(query)
            }
        )

    def _select(self, condition: Any) -> list[SandboxRow]:
        lease_count = (
            select(func.count())
            .where(leases.c.sandbox_id == sandboxes.c.sandbox_id)
            .correlate(sandboxes)
            .scalar_subquery()
            .label("lease_count")
        )
        columns = [sandboxes.c[name] for name in SandboxRow.__annotations__ if name in sandboxes.c]
        query = select(*columns, lease_count).where(condition).order_by(sandboxes.c.created_at)
        return self._database.read(lambda c: [_row(found) for found in c.execute(query)])

    # --- a sandbox's states --------------------------------------------------------------------

    def add_starting(
        self, sandbox_id: str, *, worker_id: str, created_at: float, now: float, boot_id: str
    ) -> None:
        """Note a sandbox before its container is made, so that a crash leaves a trace."""
        self._database.write(
            lambda c: c.execute(
                insert(sandboxes).values(
                    sandbox_id=sandbox_id,
                    state="starting",
                    worker_id=worker_id,
                    created_at=created_at,
                    idle_since=now,
                    boot_id=boot_id,
                )
            )
        )

    def mark_ready(
        self, sandbox_id: str, *, container_id: str, ip_address: str | None, now: float
    ) -> bool:
        """`starting` → `ready`. False when somebody else ended it meanwhile."""
        return self._change(
            update(sandboxes)
            .where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state == "starting")
            .values(state="ready", container_id=container_id, ip_address=ip_address, idle_since=now)
        )

    def adopt(
        self,
        sandbox_id: str,
        *,
        container_id: str,
        ip_address: str | None,
        created_at: float,
        now: float,
        boot_id: str,
    ) -> bool:
        """Take in a running container that the store does not know. False if it does."""
        return self._change(
            insert_or_ignore(sandboxes)
            .values(
                sandbox_id=sandbox_id,
                state="ready",
                container_id=container_id,
                ip_address=ip_address,
                created_at=created_at,
                idle_since=now,
                boot_id=boot_id,
            )
            .on_conflict_do_nothing()
        )

    def claim_removal(self, sandbox_id: str, reason: str) -> bool:
        """`ready` → `removing`, whoever is connected."""
        return self._change(
            update(sandboxes)
            .where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state == "ready")
            .values(state="removing", end_reason=reason)
        )

    def claim_idle_removal(self, sandbox_id: str, *, idle_since: float) -> bool:
        """`ready` → `removing`, but only if it has been idle all the time since `idle_since`."""
        in_use = exists().where(leases.c.sandbox_id == sandbox_id)
        return self._change(
            update(sandboxes)
            .where(
                sandboxes.c.sandbox_id == sandbox_id,
                sandboxes.c.state == "ready",
                sandboxes.c.idle_since == idle_since,
                ~in_use,
            )
            .values(state="removing", end_reason="idle")
        )

    def give_up_removal(self, sandbox_id: str) -> bool:
        """`removing` → `ready`: the engine could not be reached, the sandbox is still there."""
        return self._change(
            update(sandboxes)
            .where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state == "removing")
            .values(state="ready", end_reason=None)
        )

    def mark_ended(self, sandbox_id: str, reason: str, *, ended_at: float) -> bool:
        """Any state → `ended`; leases go with it. A reason given before stays."""

        def work(connection: Connection) -> bool:
            connection.execute(delete(leases).where(leases.c.sandbox_id == sandbox_id))
            changed = connection.execute(
                update(sandboxes)
                .where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state != "ended")
                .values(
                    state="ended",
                    end_reason=func.coalesce(sandboxes.c.end_reason, reason),
                    ended_at=ended_at,
                )
            )
            return changed.rowcount > 0

        return self._database.write(work)

    def forget_ended(self, *, before: float) -> None:
        """Remove the traces of sandboxes that ended before a wall-clock time."""
        self._change(
            delete(sandboxes).where(sandboxes.c.state == "ended", sandboxes.c.ended_at < before)
        )

    # --- leases --------------------------------------------------------------------------------

    def acquire_lease(
        self, lease_id: str, sandbox_id: str, *, worker_id: str, purpose: str
    ) -> bool:
        """Note that somebody uses the sandbox. False unless it is `ready`."""
        ready = select(
            *(literal(value) for value in (lease_id, sandbox_id, worker_id, purpose))
        ).where(exists().where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state == "ready"))
        columns = ["lease_id", "sandbox_id", "worker_id", "purpose"]
        return self._change(insert(leases).from_select(columns, ready))

    def release_lease(self, lease_id: str, sandbox_id: str, *, now: float) -> None:
        """Drop a lease; with the last one the sandbox is idle from `now` on."""

        def work(connection: Connection) -> None:
            dropped = connection.execute(delete(leases).where(leases.c.lease_id == lease_id))
            if dropped.rowcount:
                _set_idle(connection, [sandbox_id], now)

        self._database.write(work)

    def workers_with_traces(self) -> set[str]:
        """Workers that hold leases or were creating sandboxes."""
        query = select(leases.c.worker_id).union(
            select(sandboxes.c.worker_id).where(sandboxes.c.state == "starting")
        )
        return self._database.read(lambda c: {found[0] for found in c.execute(query) if found[0]})

    def drop_leases_of(self, worker_ids: Collection[str], *, now: float) -> list[str]:
        """Drop the leases of dead workers; the sandboxes that had some."""

        def work(connection: Connection) -> list[str]:
            theirs = leases.c.worker_id.in_(worker_ids)
            query = select(leases.c.sandbox_id).where(theirs).distinct()
            affected = [found[0] for found in connection.execute(query)]
            connection.execute(delete(leases).where(theirs))
            _set_idle(connection, affected, now)
            return affected

        return self._database.write(work)

    def _change(self, statement: Any) -> bool:
        return self._database.write(lambda c: c.execute(statement).rowcount > 0)


def _set_idle(connection: Connection, sandbox_ids: Collection[str], now: float) -> None:
    """Those of the sandboxes that nobody leases any more are idle from `now` on."""
    in_use = exists().where(leases.c.sandbox_id == sandboxes.c.sandbox_id)
    connection.execute(
        update(sandboxes)
        .where(sandboxes.c.sandbox_id.in_(sandbox_ids), ~in_use)
        .values(idle_since=now)
    )


def _row(found: Any) -> SandboxRow:
    return SandboxRow(**found._mapping)
