"""Sandboxes: every change of state is one compare-and-set.

`starting` → `ready` ⇄ `paused` → `removing` → `ended`, with `pausing` between the first two of
the middle. Two workers may both try a step; one wins. How `starting` comes about is in
`gateway.store.admission`, and `pooling` → `pooled` in `gateway.store.pool`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, and_, case, delete, exists, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_ignore

from gateway.store import rows as reading
from gateway.store.database import Database
from gateway.store.events import record
from gateway.store.rows import LIVE, USABLE, SandboxRow
from gateway.store.tables import idempotency, leases, sandboxes


class SandboxStore:
    """Queries and changes. Times `now`, `idle_since`, `due_by` are boot time in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading -------------------------------------------------------------------------------

    def get(self, sandbox_id: str) -> SandboxRow | None:
        """The sandbox, ended ones included."""
        return self._database.read(lambda c: reading.row(c, sandbox_id))

    def live(self) -> list[SandboxRow]:
        """All that were asked for and have not ended, oldest first."""
        return self._database.read(lambda c: reading.rows(c, sandboxes.c.state.in_(LIVE)))

    def due(self, *, by: float, boot_id: str) -> list[SandboxRow]:
        """The usable ones that may have to end, or to be paused, by a time; those of another
        boot too."""
        reached = or_(
            sandboxes.c.boot_id != boot_id,
            sandboxes.c.expires <= by,
            sandboxes.c.idle_since + sandboxes.c.idle_timeout_s <= by,
        )
        return self._database.read(
            lambda c: reading.rows(c, sandboxes.c.state.in_(USABLE), reached)
        )

    def of_container(self, container_id: str) -> SandboxRow | None:
        """The sandbox behind a container, pooled ones included."""
        found = self._database.read(
            lambda c: reading.rows(c, sandboxes.c.container_id == container_id)
        )
        return found[0] if found else None

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

    def paused_among(self, sandbox_ids: Collection[str]) -> dict[str, float]:
        """Those of the sandboxes that are paused, and since when."""
        query = select(sandboxes.c.sandbox_id, sandboxes.c.idle_since).where(
            sandboxes.c.sandbox_id.in_(sandbox_ids), sandboxes.c.state == "paused"
        )
        return self._database.read(lambda c: {found[0]: found[1] for found in c.execute(query)})

    def has_clients_since(self, sandbox_id: str, since: float) -> bool:
        """Whether a client who is still there has come after a boot time."""
        query = select(
            exists().where(
                leases.c.sandbox_id == sandbox_id,
                leases.c.purpose == "client",
                leases.c.taken_at > since,
            )
        )
        return self._database.read(lambda c: bool(c.execute(query).scalar_one()))

    # --- its beginning -------------------------------------------------------------------------

    def mark_ready(
        self,
        sandbox_id: str,
        *,
        container_id: str,
        ip_address: str | None,
        now: float,
        pid: int | None = None,
    ) -> bool:
        """`starting` → `ready`. False when somebody else ended it meanwhile."""
        return self._step(
            sandbox_id,
            ("starting",),
            "created",
            state="ready",
            worker_id=None,
            container_id=container_id,
            ip_address=ip_address,
            pid=pid,
            idle_since=now,
        )

    def adopt(self, row: SandboxRow) -> bool:
        """Take in a running container that the store does not know. False if it does."""
        values = {
            name: getattr(row, name)
            for name in SandboxRow.__dataclass_fields__
            if name in sandboxes.c
        }
        statement = insert_or_ignore(sandboxes).values(values).on_conflict_do_nothing()

        def work(connection: Connection) -> bool:
            if not connection.execute(statement).rowcount:
                return False
            record(connection, row.sandbox_id, "adopted")
            return True

        return self._database.write(work)

    # --- its life ------------------------------------------------------------------------------

    def change(self, sandbox_id: str, *, now: float, **values: Any) -> bool:
        """Change labels or deadlines of one that is live; a new deadline is warned of anew."""
        return self._step(
            sandbox_id,
            ("starting", *USABLE),
            "updated",
            facts={name: value for name, value in values.items() if name != "expires"},
            warned_of=None,
            **values,
        )

    def claim_pause(self, sandbox_id: str, *, worker_id: str) -> bool:
        """`ready` → `pausing`, whoever is connected."""
        return self._step(sandbox_id, ("ready",), None, state="pausing", worker_id=worker_id)

    def claim_idle_pause(self, sandbox_id: str, *, idle_since: float, worker_id: str) -> bool:
        """`ready` → `pausing`, but only if it has been idle all the time since `idle_since`."""
        return self._database.write(
            lambda c: (
                c.execute(
                    update(sandboxes)
                    .where(*_still_idle(sandbox_id, "ready", idle_since))
                    .values(state="pausing", worker_id=worker_id)
                ).rowcount
                > 0
            )
        )

    def mark_paused(self, sandbox_id: str, state: str, *, since: float, by: str) -> bool:
        """To `paused`, from the state `pausing` or, when another hand froze the container,
        `ready`."""
        return self._step(
            sandbox_id,
            (state,),
            "paused",
            facts={"by": by},
            state="paused",
            worker_id=None,
            idle_since=since,
        )

    def give_up_pause(self, sandbox_id: str) -> bool:
        """`pausing` → `ready`: it could not be frozen."""
        return self._step(sandbox_id, ("pausing",), None, state="ready", worker_id=None)

    def mark_resumed(self, sandbox_id: str, *, now: float) -> bool:
        """`paused` → `ready`."""
        return self._step(sandbox_id, ("paused",), "resumed", state="ready", idle_since=now)

    def warn(self, sandbox_id: str, *, reason: str, due: float, at: float) -> bool:
        """Tell followers, once, that the sandbox ends at boot time `due`, which is `at`."""
        unwarned = or_(sandboxes.c.warned_of.is_(None), sandboxes.c.warned_of != due)

        def work(connection: Connection) -> bool:
            changed = connection.execute(
                update(sandboxes)
                .where(
                    sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state.in_(USABLE), unwarned
                )
                .values(warned_of=due)
            )
            if changed.rowcount:
                record(connection, sandbox_id, "ending", reason=reason, ends_at=at)
            return changed.rowcount > 0

        return self._database.write(work)

    # --- its end -------------------------------------------------------------------------------

    def claim_removal(
        self, sandbox_id: str, reason: str, detail: str = "", *, worker_id: str
    ) -> bool:
        """To `removing`, whoever is connected."""
        return self._step(
            sandbox_id,
            USABLE,
            None,
            state="removing",
            worker_id=worker_id,
            end_reason=reason,
            end_detail=detail or None,
        )

    def claim_idle_removal(self, sandbox_id: str, *, idle_since: float, worker_id: str) -> bool:
        """To `removing`, but only if it has been idle all the time since `idle_since`."""
        idle = or_(
            and_(*_still_idle(sandbox_id, "ready", idle_since)),
            and_(*_still_idle(sandbox_id, "paused", idle_since)),
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
        """`removing` → `ready`: the engine has not done it, the sandbox is still there."""
        return self._step(
            sandbox_id,
            ("removing",),
            None,
            state="ready",
            worker_id=None,
            end_reason=None,
            end_detail=None,
        )

    def leave_removal(self, sandbox_id: str) -> bool:
        """It stays `removing`, and nobody is at it any more."""
        return self._step(sandbox_id, ("removing",), None, worker_id=None)

    def take_up_removal(self, sandbox_id: str, *, worker_id: str) -> bool:
        """Be at a removal that was left. False when somebody is, or the sandbox has ended."""
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
    ) -> bool:
        """Any state → `ended`; leases go with it. A reason given before stays."""

        def work(connection: Connection) -> bool:
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
                )
            )
            if not changed.rowcount:
                return False
            if reason == "create_failed":
                # The next try with the same key makes a new one.
                connection.execute(
                    delete(idempotency).where(idempotency.c.sandbox_id == sandbox_id)
                )
            why = connection.execute(
                select(sandboxes.c.end_reason).where(sandboxes.c.sandbox_id == sandbox_id)
            ).scalar_one()
            record(connection, sandbox_id, "ended", reason=why)
            return True

        return self._database.write(work)

    def forget_ended(self, *, before: float, keep: int = 100_000) -> None:
        """Remove the traces of sandboxes that ended before a wall-clock time, and of all but the
        `keep` latest."""
        ended = sandboxes.c.state == "ended"
        latest = select(sandboxes.c.ended_at).where(ended).order_by(sandboxes.c.ended_at.desc())
        excess = latest.offset(keep).limit(1).scalar_subquery()
        self._database.write(
            lambda c: c.execute(
                delete(sandboxes).where(
                    ended, or_(sandboxes.c.ended_at < before, sandboxes.c.ended_at <= excess)
                )
            )
        )

    def _step(
        self,
        sandbox_id: str,
        states: Collection[str],
        event: str | None,
        facts: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> bool:
        def work(connection: Connection) -> bool:
            changed = connection.execute(
                update(sandboxes)
                .where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state.in_(states))
                .values(**values)
            )
            if changed.rowcount and event is not None:
                record(connection, sandbox_id, event, **(facts or {}))
            return changed.rowcount > 0

        return self._database.write(work)


def _still_idle(sandbox_id: str, state: str, idle_since: float) -> tuple[Any, ...]:
    """Nobody has come since the row was read: a connect adds a lease, a disconnect changes
    `idle_since`. In a paused sandbox only clients count, because no command can run."""
    in_use = exists().where(leases.c.sandbox_id == sandbox_id)
    if state == "paused":
        in_use = in_use.where(leases.c.purpose == "client")
    return (
        sandboxes.c.sandbox_id == sandbox_id,
        sandboxes.c.state == state,
        sandboxes.c.idle_since == idle_since,
        ~in_use,
    )
