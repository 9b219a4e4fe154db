"""Names that clients give to sandboxes: which sandbox has one. Those that have ended have none."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from gateway.store.database import Database
from gateway.store.tables import sandboxes

# Built once: building a statement costs more than running it.
_ID_OF = select(sandboxes.c.sandbox_id).where(
    sandboxes.c.owner == bindparam("owner"), sandboxes.c.name == bindparam("name")
)


class NameTable:
    """Looks up names, each in those of one owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def id_of(self, owner: str, name: str) -> str | None:
        """The owner's live sandbox that has the name; None where there is none. Raises
        StoreUnavailable."""
        return self._database.read(lambda c: holder_of(c, owner, name))


def holder_of(connection: Connection, owner: str, name: str) -> str | None:
    """Like `NameTable.id_of`, within a transaction. Raises SQLAlchemyError."""
    found = connection.execute(_ID_OF, {"owner": owner, "name": name}).scalar_one_or_none()
    return None if found is None else str(found)
