"""The last commands of each sandbox, kept for its end record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from gateway.store.allowance import next_of, trim
from gateway.store.database import Database
from gateway.store.dialects import insert_into
from gateway.store.tables import history, sandboxes

KEPT = 10
"""Commands per sandbox."""


class HistoryStore:
    """Records are JSON objects; `key` names the command within its sandbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(
        self, sandbox_id: str, records: Sequence[tuple[str, float, Mapping[str, Any]]]
    ) -> bool:
        """Add or replace (key, when it began, record); only the latest of a sandbox are kept, and
        of an owner's sandboxes together what its allowance bears. A NUL in a key, which PostgreSQL
        does not keep, is one with U+FFFD.

        Whether the sandbox lives. Does nothing for one that is not known. Raises StoreUnavailable.
        """

        def work(connection: Connection) -> bool:
            query = select(sandboxes.c.state, sandboxes.c.owner).where(
                sandboxes.c.sandbox_id == sandbox_id
            )
            found = connection.execute(query).one_or_none()
            if found is None:
                return False
            state, owner = found
            for key, at, command in records:
                statement = insert_into(connection, history).values(
                    sandbox_id=sandbox_id,
                    key=key.replace("\0", "\ufffd"),
                    at=at,
                    command=dict(command),
                    owner=owner,
                    noted_order=next_of(history, owner),
                )
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["sandbox_id", "key"], set_={"command": dict(command)}
                    )
                )
            latest = (
                select(history.c.key)
                .where(history.c.sandbox_id == sandbox_id)
                .order_by(history.c.at.desc(), history.c.key)
                .limit(KEPT)
            )
            connection.execute(
                delete(history).where(
                    history.c.sandbox_id == sandbox_id, history.c.key.not_in(latest)
                )
            )
            trim(connection, owner, "history")
            return bool(state != "ended")

        return self._database.write(work)

    def of(self, sandbox_id: str) -> list[dict[str, Any]]:
        """The latest commands, oldest first. Raises StoreUnavailable."""
        query = (
            select(history.c.command)
            .where(history.c.sandbox_id == sandbox_id)
            .order_by(history.c.at, history.c.key)
        )
        return self._database.read(lambda c: [found[0] for found in c.execute(query)])
