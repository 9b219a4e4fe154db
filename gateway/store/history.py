"""The last commands of each sandbox, kept for its end record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, select

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
            found = connection.execute(_OWNER, {"of_sandbox": sandbox_id}).one_or_none()
            if found is None:
                return False
            state, owner = found
            add = _add_to(connection)
            for key, at, command in records:
                connection.execute(
                    add,
                    {
                        "new_sandbox_id": sandbox_id,
                        "new_key": key.replace("\0", "\ufffd"),
                        "new_at": at,
                        "new_command": dict(command),
                        "new_owner": owner,
                    },
                )
            connection.execute(_KEEP_LATEST, {"of_sandbox": sandbox_id})
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


# Built once: each worker that runs commands writes twice a second for each of their sandboxes, and
# building took most of that.
_OF_SANDBOX: BindParameter[str] = bindparam("of_sandbox")
_OWNER = select(sandboxes.c.state, sandboxes.c.owner).where(sandboxes.c.sandbox_id == _OF_SANDBOX)
_LATEST = (
    select(history.c.key)
    .where(history.c.sandbox_id == _OF_SANDBOX)
    .order_by(history.c.at.desc(), history.c.key)
    .limit(KEPT)
)
_KEEP_LATEST = delete(history).where(
    history.c.sandbox_id == _OF_SANDBOX, history.c.key.not_in(_LATEST)
)
_ADD: dict[str, Any] = {}
"""By dialect."""


def _add_to(connection: Connection) -> Any:
    """Adds a record or replaces it."""
    dialect = connection.dialect.name
    if dialect not in _ADD:
        given = {
            name: bindparam(f"new_{name}", type_=history.c[name].type)
            for name in ("sandbox_id", "key", "at", "command", "owner")
        }
        statement = insert_into(connection, history).values(
            **given, noted_order=next_of(history, given["owner"])
        )
        _ADD[dialect] = statement.on_conflict_do_update(
            index_elements=["sandbox_id", "key"], set_={"command": statement.excluded.command}
        )
    return _ADD[dialect]
