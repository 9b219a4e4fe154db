"""How sandboxes end: claimed by one, carried out, and kept for a while with why.

`removing` is claimed before the container is removed, and `ended` comes after.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, and_, case, delete, func, or_, select, update

from gateway.store.allowance import trim
from gateway.store.database import Database
from gateway.store.events import record
from gateway.store.rows import USABLE
from gateway.store.tables import idempotency, leases, once, sandboxes
from gateway.store.transitions import still_idle, transition

AT_A_TIME = 500
"""Rows that one transaction removes, with what hangs on them."""


class EndRecordStore:
    """Claims and ends. `idle_since` is boot time in seconds, `ended_at` and `before` wall time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_removal(
        self, sandbox_id: str, reason: str, detail: str = "", *, worker_id: str
    ) -> bool:
        """To `removing`, whoever is connected. Raises StoreUnavailable."""
        return transition(
            self._database,
            sandbox_id,
            USABLE,
            None,
            state="removing",
            worker_id=worker_id,
            end_reason=reason,
            end_detail=detail or None,
        )

    def claim_idle_removal(self, sandbox_id: str, *, idle_since: float, worker_id: str) -> bool:
        """To `removing`, but only if it has been idle all the time since `idle_since`.

        Raises StoreUnavailable.
        """
        idle = or_(
            and_(*still_idle(sandbox_id, "ready", idle_since)),
            and_(*still_idle(sandbox_id, "paused", idle_since)),
        )
        return self._database.write(
            lambda c: (
                c.execute(
                    update(sandboxes)
                    .where(idle)
                    .values(state="removing", end_reason="idle", worker_id=worker_id)
                ).rowcount
                > 0
            )
        )

    def give_up_removal(self, sandbox_id: str) -> bool:
        """`removing` → `ready`: the engine has not done it, the sandbox is still there.

        Raises StoreUnavailable.
        """
        return transition(
            self._database,
            sandbox_id,
            ("removing",),
            None,
            state="ready",
            worker_id=None,
            end_reason=None,
            end_detail=None,
        )

    def leave_removal(self, sandbox_id: str) -> bool:
        """Give up the claim to a removal. The sandbox stays `removing`, and any worker may claim
        it. Raises StoreUnavailable."""
        return transition(self._database, sandbox_id, ("removing",), None, worker_id=None)

    def take_up_removal(self, sandbox_id: str, *, worker_id: str) -> bool:
        """Claim a removal that another worker began and did not finish. False when a worker has
        claimed it, or the sandbox has ended.

        Raises StoreUnavailable.
        """
        return self._database.write(
            lambda c: (
                c.execute(
                    update(sandboxes)
                    .where(
                        sandboxes.c.sandbox_id == sandbox_id,
                        sandboxes.c.state == "removing",
                        sandboxes.c.worker_id.is_(None),
                    )
                    .values(worker_id=worker_id)
                ).rowcount
                > 0
            )
        )

    def mark_ended(
        self,
        sandbox_id: str,
        reason: str,
        *,
        ended_at: float,
        detail: str = "",
        exit_code: int | None = None,
    ) -> str | None:
        """Any state → `ended`; leases, labels, name and the notes about `once` go
        with it. Why it ended:
        a reason given before stays. None when it had ended already. Raises StoreUnavailable."""

        def work(connection: Connection) -> str | None:
            connection.execute(delete(leases).where(leases.c.sandbox_id == sandbox_id))
            changed = connection.execute(
                update(sandboxes)
                .where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state != "ended")
                .values(
                    state="ended",
                    worker_id=None,
                    end_detail=case(
                        (sandboxes.c.end_reason.is_(None), detail), else_=sandboxes.c.end_detail
                    ),
                    end_reason=func.coalesce(sandboxes.c.end_reason, reason),
                    exit_code=exit_code,
                    ended_at=ended_at,
                    labels={},
                    name=None,
                )
            )
            if not changed.rowcount:
                return None
            if reason == "create_failed":
                # The next try with the same key makes a new one.
                connection.execute(
                    delete(idempotency).where(idempotency.c.sandbox_id == sandbox_id)
                )
            connection.execute(delete(once).where(once.c.sandbox_id == sandbox_id))
            why, owner = connection.execute(
                select(sandboxes.c.end_reason, sandboxes.c.owner).where(
                    sandboxes.c.sandbox_id == sandbox_id
                )
            ).one()
            record(connection, sandbox_id, "ended", reason=why)
            trim(connection, owner, "ended")
            return str(why)

        return self._database.write(work)

    def forget_ended(self, *, before: float) -> None:
        """Remove the traces of sandboxes that ended before a wall-clock time. How many of the
        later ones are kept is up to each owner's allowance. Raises StoreUnavailable."""
        some = (
            select(sandboxes.c.sandbox_id)
            .where(sandboxes.c.state == "ended", sandboxes.c.ended_at < before)
            .limit(AT_A_TIME)
        )
        drop = delete(sandboxes).where(sandboxes.c.sandbox_id.in_(some.scalar_subquery()))
        while self._database.write(lambda c: c.execute(drop).rowcount):
            time.sleep(0)
