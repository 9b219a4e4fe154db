"""Sandboxes that are held: for the moment in which a snapshot is taken, and while one is restored.

`ready` or `paused` → `held` → back. Nobody else pauses, resumes or holds a sandbox meanwhile;
clients wait. Which snapshot is being restored is noted, so that whoever takes over from a worker
that was killed can finish.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, case, select, update

from gateway.store.database import Database
from gateway.store.events import record
from gateway.store.tables import sandboxes


class HoldStore:
    """Claims holds and ends them. `now` is boot time in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, sandbox_id: str, *, worker_id: str, restoring: str | None = None) -> str | None:
        """To `held`, whoever is connected; `restoring` is the id of the snapshot that is brought
        back. The state that it was in, `ready` or `paused`; None when it is in another. Raises
        StoreUnavailable."""

        def work(connection: Connection) -> str | None:
            given = {"of_id": sandbox_id, "by": worker_id, "snapshot_id": restoring}
            was: str | None = connection.execute(_CLAIM, given).scalar_one_or_none()
            return was

        return self._database.write(work)

    def take_over(self, sandbox_id: str, *, worker_id: str, dead: str) -> bool:
        """Claim what a worker that was killed held. False when another has, or it has ended. Raises
        StoreUnavailable."""
        statement = (
            update(sandboxes)
            .where(
                sandboxes.c.sandbox_id == sandbox_id,
                sandboxes.c.state == "held",
                sandboxes.c.worker_id == dead,
            )
            .values(worker_id=worker_id)
        )
        return self._database.write(lambda c: c.execute(statement).rowcount > 0)

    def note_process(self, sandbox_id: str, *, ip_address: str | None, pid: int | None) -> None:
        """One that is held was stopped and started again, with the files that it had. Raises
        StoreUnavailable."""
        statement = (
            update(sandboxes)
            .where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state == "held")
            .values(ip_address=ip_address, pid=pid, hold_returns_to="ready")
        )
        self._database.write(lambda c: c.execute(statement))

    def release(self, sandbox_id: str, *, worker_id: str) -> bool:
        """`held` → the state from before. False when it has been ended meanwhile, or another worker
        holds it. Raises StoreUnavailable."""
        given = {"of_id": sandbox_id, "by": worker_id}
        return self._database.write(lambda c: c.execute(_RELEASE, given).rowcount > 0)

    def mark_restored(
        self,
        sandbox_id: str,
        snapshot_id: str,
        *,
        ip_address: str | None,
        pid: int | None,
        uid: int,
        origin: str | None,
        now: float,
    ) -> bool:
        """`held` → `ready`, with new processes and the files of a snapshot of this `origin`. False
        when it has been ended meanwhile. Raises StoreUnavailable."""
        values = {
            "state": "ready",
            "worker_id": None,
            "hold_returns_to": None,
            "restoring_from": None,
            "restored_from": snapshot_id,
            "restored_count": sandboxes.c.restored_count + 1,
            "ip_address": ip_address,
            "pid": pid,
            "uid": uid,
            "origin": origin,
            "idle_since": now,
        }
        statement = (
            update(sandboxes)
            .where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state == "held")
            .values(values)
        )

        def work(connection: Connection) -> bool:
            changed = connection.execute(statement).rowcount > 0
            if changed:
                record(connection, sandbox_id, "restored", snapshot_id=snapshot_id)
            return changed

        return self._database.write(work)

    def restored_among(self, sandbox_ids: set[str]) -> dict[str, tuple[int, str]]:
        """Those of the sandboxes that were ever restored: how often, and from which snapshot the
        last time. Raises StoreUnavailable."""
        asked = {"ids": list(sandbox_ids)}
        return self._database.read(
            lambda c: {found[0]: (found[1], found[2]) for found in c.execute(_RESTORED, asked)}
        )


# Built once: that takes longer than to carry them out.

_FREE = (
    sandboxes.c.sandbox_id == bindparam("of_id"),
    sandboxes.c.state.in_(("ready", "paused")),
    sandboxes.c.container_id.is_not(None),
)
_CLAIM = (
    update(sandboxes)
    .where(*_FREE)
    .values(
        state="held",
        hold_returns_to=sandboxes.c.state,
        worker_id=bindparam("by"),
        restoring_from=bindparam("snapshot_id"),
    )
    .returning(sandboxes.c.hold_returns_to)
)
_RELEASE = (
    update(sandboxes)
    .where(
        sandboxes.c.sandbox_id == bindparam("of_id"),
        sandboxes.c.state == "held",
        sandboxes.c.worker_id == bindparam("by"),
    )
    .values(
        state=case((sandboxes.c.hold_returns_to == "paused", "paused"), else_="ready"),
        hold_returns_to=None,
        restoring_from=None,
        worker_id=None,
    )
)
_RESTORED = select(
    sandboxes.c.sandbox_id, sandboxes.c.restored_count, sandboxes.c.restored_from
).where(
    sandboxes.c.sandbox_id.in_(bindparam("ids", expanding=True)), sandboxes.c.restored_count > 0
)
