"""Which agent a `once` command was first given to."""

from __future__ import annotations

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from gateway.store.database import Database
from gateway.store.tables import once


class OnceTable:
    """Implements `gateway.commands.once.OnceStore`. Rows go with their sandbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_once(self, sandbox_id: str, request_id: str, daemon: str) -> str:
        """Note `daemon` unless another is noted already; the one that is."""
        noted = select(once.c.daemon).where(
            once.c.sandbox_id == sandbox_id, once.c.request_id == request_id
        )
        claim = (
            insert(once)
            .values(sandbox_id=sandbox_id, request_id=request_id, daemon=daemon)
            .on_conflict_do_nothing()
        )

        def work(connection: Connection) -> str:
            connection.execute(claim)
            return str(connection.execute(noted).scalar_one())

        return self._database.write(work)
