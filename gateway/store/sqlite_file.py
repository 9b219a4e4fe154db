"""The SQLite file: opened in WAL mode, written in short immediate transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from gateway.store.dialects import FOREIGN_KEYS_OFF, WRITES, json_text

LOG_BYTES = 8 * 1024 * 1024
"""What is left of the write-ahead log after a checkpoint. It grows while somebody else (a backup)
reads for long, and would stay as large as it ever was."""

CHECKPOINT_BYTES = 4 * 1024 * 1024
"""A write-ahead log of this size is to be copied into the database."""

_CHECKPOINT_PAGES = 16_000
"""So large (64 MB) does the log become before a commit copies it, with all who wait for that."""


class SqliteFile:
    """One connection per process. SQLite's calls never yield to another greenlet, so a transaction
    is never shared."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def connect(self, prepare: Callable[[dict[object, object]], None]) -> Engine:
        """See `Dialect`. Makes the file, for its owner's eyes. Raises OSError, SQLAlchemyError."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = create_engine(
            f"sqlite:///{self._path}",
            poolclass=StaticPool,
            # The lock is waited for in `Database.write`, where other greenlets can go on meanwhile.
            connect_args={"timeout": 0, "check_same_thread": False},
            json_serializer=json_text,
        )

        @event.listens_for(engine, "connect")
        def set_up(connection: Any, record: Any) -> None:
            prepare(record.info)
            connection.isolation_level = None  # transactions are begun below, not by the driver
            for pragma in ("busy_timeout=2000", "journal_mode=WAL", "busy_timeout=0"):
                connection.execute(f"PRAGMA {pragma}")
            # Power loss may cost the last commits; it ends every container as well.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
            connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # SQLAlchemy announces reads as well; they need no transaction and wait for nobody.
            options = connection.get_execution_options()
            if options.get(FOREIGN_KEYS_OFF):
                # Within a transaction it has no effect. A table that is made anew would else take
                # the rows with it that hang on its own (SQLite, "ALTER TABLE", section 7).
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            if options.get(WRITES):
                connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    def is_checkpoint_due(self) -> bool:
        """See `Dialect`."""
        try:
            log = self._path.with_name(f"{self._path.name}-wal").stat()
        except FileNotFoundError:
            return False
        return log.st_size >= CHECKPOINT_BYTES

    def checkpoint(self) -> None:
        """See `Dialect`. With a connection of its own; nobody waits for it but for the last step.

        Raises sqlite3.Error.
        """
        with closing(sqlite3.connect(self._path, timeout=1.0, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_size_limit=0")  # the log is cut off where it ends
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            # The next writer begins the log anew, and flushes its first page: so that is this one.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE alembic_version SET version_num = version_num")
            connection.execute("COMMIT")

    def is_busy(self, error: OperationalError) -> bool:
        """See `Dialect`."""
        # Python 3.10 has no `sqlite_errorcode`; SQLite's texts for BUSY and LOCKED both say it.
        return "locked" in str(error.orig)

    def version(self, connection: Connection) -> object:
        """See `Dialect`: commits of other connections change `data_version`, its own do not.

        Raises SQLAlchemyError.
        """
        others = int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())
        return others, self.changed_rows(connection)

    def changed_rows(self, connection: Connection) -> int | None:
        """See `Dialect`. Raises SQLAlchemyError."""
        driver: Any = connection.connection.driver_connection
        return int(driver.total_changes)
