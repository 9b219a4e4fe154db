"""What SQLite and PostgreSQL do differently, behind one interface. `Database` chooses by URL."""

from __future__ import annotations

import json
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError

WRITES = "gateway_writes"
"""Execution option of connections that begin a write transaction."""

FOREIGN_KEYS_OFF = "gateway_foreign_keys_off"
"""Execution option of the one that migrates."""


class Dialect(Protocol):
    """One kind of database."""

    def connect(self, prepare: Any) -> Engine:
        """Where the database is. `prepare` gets the `info` of each new connection. Raises OSError,
        SQLAlchemyError."""
        ...

    def is_busy(self, error: OperationalError) -> bool:
        """Whether a write failed because of another writer only, and may be tried again."""
        ...

    def is_checkpoint_due(self) -> bool:
        """Whether `checkpoint` has anything to do. Raises OSError."""
        ...

    def checkpoint(self) -> None:
        """Copy the log of what was written to where it belongs, and wait for the disk. For a real
        thread. Raises sqlite3.Error.
        """
        ...

    def version(self, connection: Connection) -> object:
        """Another one whenever somebody has committed a change. Raises SQLAlchemyError."""
        ...

    def changed_rows(self, connection: Connection) -> int | None:
        """How many rows a connection has changed so far; None when it does not say.

        Raises SQLAlchemyError.
        """
        ...


def insert_into(connection: Connection, table: Table) -> Any:
    """An INSERT that has `on_conflict_do_nothing` and `…_do_update` in the connection's dialect.

    Raises SQLAlchemyError.
    """
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    # Takes a tenth of a worker's start to import, and no gateway needs it yet.
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def json_text(value: object) -> str:
    """As it is, which takes a character of Chinese half of what escaping it does."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(value)
    return text
