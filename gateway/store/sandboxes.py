"""Sandboxes: every change of state is one compare-and-set.

`starting` → `ready` ⇄ `paused` → `removing` → `ended`, with `pausing` between the first two of
the middle. Two workers may both try a transition; one wins. How `starting` comes about is in
`gateway.store.admission`, `pooling` → `pooled` in `gateway.store.pool`, `held` in
`gateway.store.holds`, and the end in `gateway.store.end_records`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, or_, select, update

from gateway.settings import SHARED_UID
from gateway.store import rows as reading
from gateway.store.database import Database
from gateway.store.dialects import insert_into
from gateway.store.events import record
from gateway.store.names import holder_of
from gateway.store.rows import LIVE, USABLE, SandboxRow
from gateway.store.tables import leases, sandboxes
from gateway.store.transitions import still_idle, transition
from gateway.store.updates import check_labels, facts_of_change

# Built once: that takes longer than to carry them out, and every worker asks all the time.
_AMONG = sandboxes.c.sandbox_id.in_(bindparam("ids", expanding=True))
_ENDS = select(sandboxes.c.sandbox_id, sandboxes.c.state, sandboxes.c.end_reason).where(_AMONG)
_PAUSES = select(sandboxes.c.sandbox_id, sandboxes.c.idle_since).where(
    _AMONG, sandboxes.c.state == "paused"
)


class SandboxStore:
    """Queries and changes. Times `now`, `idle_since`, `due_by` are boot time in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading -------------------------------------------------------------------------------

    def get(self, sandbox_id: str) -> SandboxRow | None:
        """The sandbox, ended ones included. Raises StoreUnavailable."""
        return self._database.read(lambda c: reading.row(c, sandbox_id))

    def live(self) -> list[SandboxRow]:
        """All that were asked for and have not ended, oldest first. Raises StoreUnavailable."""
        return self._database.read(reading.live_rows)

    def live_after(
        self, place: tuple[float, str], *, owner: str | None, limit: int
    ) -> list[SandboxRow]:
        """Like `live`, of one owner or (None) everybody: at most `limit` behind a place in that
        order, which is (when it was created, its id). Raises StoreUnavailable."""
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
        boot too. Raises StoreUnavailable."""
        return self._database.read(lambda c: reading.due_rows(c, by=by, boot_id=boot_id))

    def of_container(self, container_id: str) -> SandboxRow | None:
        """The sandbox behind a container, pooled ones included. Raises StoreUnavailable."""
        return self._database.read(lambda c: reading.row_of_container(c, container_id))

    def end_reasons(self, sandbox_ids: Collection[str]) -> dict[str, str]:
        """Per known sandbox why it ended, or "" while it lives. Absent: no such sandbox.

        Raises StoreUnavailable.
        """
        return self._database.read(
            lambda c: {
                sandbox_id: (reason or "deleted") if state == "ended" else ""
                for sandbox_id, state, reason in c.execute(_ENDS, {"ids": list(sandbox_ids)})
            }
        )

    def paused_among(self, sandbox_ids: Collection[str]) -> dict[str, float]:
        """Those of the sandboxes that are paused, and since when. Raises StoreUnavailable."""
        asked = {"ids": list(sandbox_ids)}
        return self._database.read(
            lambda c: {found[0]: found[1] for found in c.execute(_PAUSES, asked)}
        )

    def has_clients_since(self, sandbox_id: str, since: float) -> bool:
        """Whether a client who is still there has come after a boot time.

        Raises StoreUnavailable.
        """
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
        """`starting` → `ready`, with this user. False when somebody else ended it meanwhile.

        Raises StoreUnavailable.
        """
        return transition(
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
        """Take in a running container that the store does not know. False if it does. A name that
        another sandbox has got meanwhile is lost.

        Raises StoreUnavailable.
        """
        values = {
            name: getattr(row, name)
            for name in SandboxRow.__dataclass_fields__
            if name in sandboxes.c
        }

        def work(connection: Connection) -> bool:
            if row.name and holder_of(connection, row.owner, row.name):
                values["name"] = None
            statement = insert_into(connection, sandboxes).values(values)
            if not connection.execute(statement.on_conflict_do_nothing()).rowcount:
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
        """`ready` → `pausing`, whoever is connected. Raises StoreUnavailable."""
        return transition(
            self._database, sandbox_id, ("ready",), None, state="pausing", worker_id=worker_id
        )

    def claim_idle_pause(self, sandbox_id: str, *, idle_since: float, worker_id: str) -> bool:
        """`ready` → `pausing`, but only if it has been idle all the time since `idle_since`.

        Raises StoreUnavailable.
        """
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

    def mark_paused(
        self, sandbox_id: str, state: str, *, since: float, by: str, ends: bool = True
    ) -> bool:
        """To `paused`, from the state `pausing` or, when another hand froze the container,
        `ready`. Unless it `ends` while it is paused, there is no end of its lifetime any more.
        Raises StoreUnavailable."""
        without_end: dict[str, None] = {} if ends else {"expires": None}
        return transition(
            self._database,
            sandbox_id,
            (state,),
            "paused",
            facts={"by": by},
            state="paused",
            worker_id=None,
            idle_since=since,
            **without_end,
        )

    def give_up_pause(self, sandbox_id: str) -> bool:
        """`pausing` → `ready`: it could not be frozen. Raises StoreUnavailable."""
        return transition(
            self._database, sandbox_id, ("pausing",), None, state="ready", worker_id=None
        )

    def mark_resumed(self, sandbox_id: str, *, now: float, expires: float | None) -> bool:
        """`paused` → `ready`, with this end of its lifetime. Raises StoreUnavailable."""
        return transition(
            self._database,
            sandbox_id,
            ("paused",),
            "resumed",
            state="ready",
            idle_since=now,
            expires=expires,
        )

    def warn(self, sandbox_id: str, *, reason: str, due: float, at: float) -> bool:
        """Tell followers, once, that the sandbox ends at boot time `due`, which is `at`.

        Raises StoreUnavailable.
        """
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
