"""Pooled sandboxes: made before anybody asks, with the id that they will have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from gateway.settings import SHARED_UID
from gateway.store import rows as reading
from gateway.store.database import Database
from gateway.store.rows import SandboxRow
from gateway.store.tables import sandboxes
from gateway.store.uids import free_uid

POOLED = ("pooling", "pooled")


class PoolStore:
    """`pooling` → `pooled`; `gateway.store.admission` takes them from there."""

    def __init__(self, database: Database, uids: range = range(0)) -> None:
        """`uids` are the numbers that sandboxes' own users may have."""
        self._database = database
        self._uids = uids

    def add_pooling(self, row: SandboxRow) -> SandboxRow:
        """Note one before its container is made, so that a crash leaves a trace. The row, with a
        user of its own where there is a free one. Raises StoreUnavailable."""

        def work(connection: Connection) -> SandboxRow:
            uid = free_uid(connection, self._uids)
            noted = row if uid is None else replace(row, uid=uid)
            names = [name for name in noted.__dataclass_fields__ if name in sandboxes.c]
            values = {name: getattr(noted, name) for name in names} | {"labels": {}}
            connection.execute(insert(sandboxes).values(values))
            return noted

        return self._database.write(work)

    def mark_pooled(
        self,
        sandbox_id: str,
        *,
        container_id: str,
        ip_address: str | None,
        pid: int | None,
        uid: int = SHARED_UID,
    ) -> bool:
        """It stands ready, with this user. False when it was given up meanwhile.

        Raises StoreUnavailable.
        """
        return self._change(
            update(sandboxes)
            .where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state == "pooling")
            .values(
                state="pooled",
                worker_id=None,
                container_id=container_id,
                ip_address=ip_address,
                pid=pid,
                uid=uid,
            )
        )

    def all(self) -> list[SandboxRow]:
        """Those that stand ready or are being made, oldest first. Raises StoreUnavailable."""
        return self._database.read(lambda c: reading.rows(c, sandboxes.c.state.in_(POOLED)))

    def containers(self) -> set[str]:
        """The container ids of those that stand ready. Raises StoreUnavailable."""
        query = select(sandboxes.c.container_id).where(sandboxes.c.state == "pooled")
        return self._database.read(lambda c: {found[0] for found in c.execute(query)})

    def drop(self, sandbox_id: str) -> bool:
        """Forget one that nobody has taken. False when somebody has. Raises StoreUnavailable."""
        return self._change(
            delete(sandboxes).where(
                sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state.in_(POOLED)
            )
        )

    def _change(self, statement: Any) -> bool:
        return self._database.write(lambda c: c.execute(statement).rowcount > 0)
