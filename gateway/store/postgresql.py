"""PostgreSQL, version 14 or newer, by psycopg 3: for tests of the statements, and for several hosts
one day. No setting leads here yet, and psycopg is not among the requirements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from gateway.store.dialects import WRITES, json_text

_WRITER_LOCK = 0x73616E64
"""Key of the advisory lock that a writer holds until its transaction ends."""

_CONNECTIONS = 5


class PostgresDatabase:
    """A few connections per process: where gevent has patched the process, psycopg yields to other
    greenlets while it waits.

    Writers go one after the other, as with SQLite: the rules count rows and then add one, and
    numbers of events must become visible in their order, or followers would pass some over.
    """

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql://", "postgresql+psycopg://", 1)

    def connect(self, prepare: Callable[[dict[object, object]], None]) -> Engine:
        """See `Dialect`."""
        engine = create_engine(
            self._url,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            json_serializer=json_text,
            # Else psycopg's count is asked for after UPDATE and DELETE only.
            execution_options={"preserve_rowcount": True},
        )

        @event.listens_for(engine, "connect")
        def set_up(connection: Any, record: Any) -> None:
            prepare(record.info)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if connection.get_execution_options().get(WRITES):
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")

        return engine

    def is_busy(self, error: OperationalError) -> bool:
        """See `Dialect`: a deadlock, which writers from elsewhere could bring about."""
        return getattr(error.orig, "sqlstate", None) in ("40001", "40P01")

    def is_checkpoint_due(self) -> bool:
        """See `Dialect`: the server does it by itself."""
        return False

    def checkpoint(self) -> None:
        """See `Dialect`: never due."""

    def version(self, connection: Connection) -> object:
        """See `Dialect`: which transactions are over. It changes when one becomes visible.

        Raises SQLAlchemyError.
        """
        return str(connection.exec_driver_sql("SELECT pg_current_snapshot()").scalar_one())

    def changed_rows(self, connection: Connection) -> int | None:
        """See `Dialect`: to ask would be one more way to the server. Raises SQLAlchemyError."""
        return None
