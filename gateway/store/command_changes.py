"""What commands changed, for those who ask for their results later, and at other workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from gateway.store.allowance import next_of
from gateway.store.database import Database
from gateway.store.dialects import insert_into
from gateway.store.tables import command_changes, sandboxes

MOST_ROWS = 200
MOST_BYTES = 4 * 1024 * 1024
"""Of one owner. The oldest go first."""


@dataclass(frozen=True)
class Noted:
    """`worker_id` is the worker that will tell; None: it has told, or `changes` are lost."""

    worker_id: str | None
    changes: Mapping[str, Any] | None


class CommandChangesTable:
    """Implements `gateway.commands.file_effects.Kept`. `key` names the command within its
    sandbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, sandbox_id: str, key: str, worker_id: str) -> None:
        """A worker has seen the files, and will tell what the command changed. Raises
        StoreUnavailable."""
        self._database.write(lambda c: open_row(c, sandbox_id, key, worker_id))

    def tell(
        self, sandbox_id: str, key: str, changes: Mapping[str, Any] | None, size_bytes: int
    ) -> None:
        """What it changed; None: that is lost. `size_bytes` as JSON. Raises
        StoreUnavailable."""
        given = {
            "of_sandbox": sandbox_id,
            "of_key": _kept(key),
            "told": None if changes is None else dict(changes),
            "bytes": size_bytes,
        }

        def work(connection: Connection) -> None:
            owner = connection.execute(_TELL, given).scalar_one_or_none()
            if owner is not None:
                _trim(connection, owner)

        self._database.write(work)

    def of(self, sandbox_id: str, key: str) -> Noted | None:
        """What is noted; None: nothing, or not any more. Raises StoreUnavailable."""
        given = {"of_sandbox": sandbox_id, "of_key": _kept(key)}

        def read(connection: Connection) -> Noted | None:
            found = connection.execute(_OF, given).one_or_none()
            return None if found is None else Noted(*found)

        return self._database.read(read)

    def forget(self, sandbox_id: str, key: str) -> None:
        """The command was not started. Raises StoreUnavailable."""
        given = {"of_sandbox": sandbox_id, "of_key": _kept(key)}
        self._database.write(lambda c: c.execute(_FORGET, given))


def open_row(connection: Connection, sandbox_id: str, key: str, worker_id: str) -> None:
    """See `CommandChangesTable.open`. Raises SQLAlchemyError."""
    owner = connection.execute(
        select(sandboxes.c.owner).where(sandboxes.c.sandbox_id == sandbox_id)
    ).scalar_one()
    connection.execute(
        insert_into(connection, command_changes)
        .values(
            sandbox_id=sandbox_id,
            key=_kept(key),
            worker_id=worker_id,
            owner=owner,
            noted_order=next_of(command_changes, owner),
        )
        .on_conflict_do_nothing(index_elements=["sandbox_id", "key"])
    )
    _trim(connection, owner)


def _kept(key: str) -> str:
    """PostgreSQL does not keep a NUL."""
    return key.replace("\0", "\ufffd")


def _trim(connection: Connection, owner: str) -> None:
    rows = connection.execute(_OF_OWNER, {"of_owner": owner}).all()
    total = 0
    for number, (order, size) in enumerate(rows):
        total += size
        if number and (number >= MOST_ROWS or total > MOST_BYTES):
            connection.execute(_OLDEST, {"of_owner": owner, "up_to": order})
            return


# Built once: that takes longer than to carry them out.

_THAT = (
    command_changes.c.sandbox_id == bindparam("of_sandbox"),
    command_changes.c.key == bindparam("of_key"),
)
_OF = select(command_changes.c.worker_id, command_changes.c.changes).where(*_THAT)
_FORGET = delete(command_changes).where(*_THAT)
_TELL = (
    update(command_changes)
    .where(*_THAT)
    .values(
        worker_id=None,
        changes=bindparam("told", type_=command_changes.c.changes.type),
        size_bytes=bindparam("bytes"),
    )
    .returning(command_changes.c.owner)
)
_OF_OWNER = (
    select(command_changes.c.noted_order, command_changes.c.size_bytes)
    .where(command_changes.c.owner == bindparam("of_owner"))
    .order_by(command_changes.c.noted_order.desc())
    .limit(MOST_ROWS + 1)
)
_OLDEST = delete(command_changes).where(
    command_changes.c.owner == bindparam("of_owner"),
    command_changes.c.noted_order <= bindparam("up_to"),
)
