"""Sandboxes: every change of state is one compare-and-set.

`starting` → `ready` ⇄ `paused` → `removing` → `ended`, with `pausing` between the first two of
the middle. Two workers may both try a step; one wins. How `starting` comes about is in
`gateway.store.admission`, `pooling` → `pooled` in `gateway.store.pool`, and the end in
`gateway.store.endings`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, and_, exists, or_, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_ignore

from gateway.settings import SHARED_UID
from gateway.store import rows as reading
from gateway.store.database import Database
from gateway.store.events import record
from gateway.store.rows import LIVE, USABLE, SandboxRow
from gateway.store.steps import step, still_idle
from gateway.store.tables import leases, sandboxes
from gateway.store.updates import check_labels, facts_of_change


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

    def live_after(
        self, place: tuple[float, str], *, owner: str | None, limit: int
    ) -> list[SandboxRow]:
        """Like `live`, of one owner or (None) everybody: at most `limit` behind a place in that
        order, which is (when it was created, its id)."""
        created_at, sandbox_id = place
        behind = or_(
            sandboxes.c.created_at > created_at,
            and_(sandboxes.c.created_at == created_at, sandboxes.c.sandbox_id > sandbox_id),
        )
        conditions = [sandboxes.c.state.in_(LIVE), behind]
        if owner is not None:
            conditions.append(sandboxes.c.owner == owner)
        return self._database.read(lambda c: reading.rows(c, *conditions, limit=limit))

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
        uid: int = SHARED_UID,
    ) -> bool:
        """`starting` → `ready`, with this user. False when somebody else ended it meanwhile."""
        return step(
            self._database,
            sandbox_id,
            ("starting",),
            "created",
            state="ready",
            worker_id=None,
            container_id=container_id,
            ip_address=ip_address,
            pid=pid,
            uid=uid,
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
        """Change labels or deadlines of one that is live; a new deadline is warned of anew.

        Raises TooManyLabels when the labels do not fit beside the owner's others.
        """
        live = (sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state.in_(("starting", *USABLE)))
        query = select(sandboxes.c.owner, sandboxes.c.labels).where(*live)

        def work(connection: Connection) -> bool:
            found = connection.execute(query).one_or_none()
            if found is None:
                return False
            owner, labels = found
            if "labels" in values:
                check_labels(connection, owner, sandbox_id, values["labels"])
            connection.execute(update(sandboxes).where(*live).values(warned_of=None, **values))
            record(connection, sandbox_id, "updated", **facts_of_change(values, labels))
            return True

        return self._database.write(work)

    def claim_pause(self, sandbox_id: str, *, worker_id: str) -> bool:
        """`ready` → `pausing`, whoever is connected."""
        return step(
            self._database, sandbox_id, ("ready",), None, state="pausing", worker_id=worker_id
        )

    def claim_idle_pause(self, sandbox_id: str, *, idle_since: float, worker_id: str) -> bool:
        """`ready` → `pausing`, but only if it has been idle all the time since `idle_since`."""
        return self._database.write(
            lambda c: (
                c.execute(
                    update(sandboxes)
                    .where(*still_idle(sandbox_id, "ready", idle_since))
                    .values(state="pausing", worker_id=worker_id)
                ).rowcount
                > 0
            )
        )

    def mark_paused(self, sandbox_id: str, state: str, *, since: float, by: str) -> bool:
        """To `paused`, from the state `pausing` or, when another hand froze the container,
        `ready`."""
        return step(
            self._database,
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
        return step(self._database, sandbox_id, ("pausing",), None, state="ready", worker_id=None)

    def mark_resumed(self, sandbox_id: str, *, now: float) -> bool:
        """`paused` → `ready`."""
        return step(
            self._database, sandbox_id, ("paused",), "resumed", state="ready", idle_since=now
        )

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
