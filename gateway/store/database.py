"""The store's database: short transactions, errors translated, tables brought up to date."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import gevent
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from gateway.errors import StoreUnavailable
from gateway.store.allowance import Allowance, grant
from gateway.store.dialects import FOREIGN_KEYS_OFF, WRITES, Dialect
from gateway.store.sqlite_file import SqliteFile
from gateway.store.upgrade import bring_up_to_date, is_up_to_date

Result = TypeVar("Result")

LOCK_LIMIT_S = 5.0
"""How long another process may hold the write lock before a request fails."""

MIGRATION_LIMIT_S = 600.0
"""How long another process may migrate the tables before this one fails to start."""

_RETRY_S = 0.002

USUAL_ALLOWANCE = Allowance.of(32)


class Database:
    """A file of SQLite's (a path), or a database of PostgreSQL's (a URL that begins with
    `postgresql://`). Waiting for another process's lock lets other greenlets go on.

    What is written is held to the `allowance` of each owner. `tell` is called after each commit
    that has changed something. Raises StoreTooNew when a later
    version of the gateway has written it, StoreUnavailable when it cannot be opened or migrated;
    then it is as it was.
    """

    def __init__(
        self,
        where: Path | str,
        allowance: Allowance = USUAL_ALLOWANCE,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self._tell = tell
        self._dialect = _dialect_of(where)
        with _translated():
            self._engine = self._dialect.connect(lambda info: grant(info, allowance))
            try:
                # Readers wait for nobody, but a worker that begins at the same time makes the file,
                # or closes it for the last time, which takes all of it.
                if not self._patiently(lambda: self._look(is_up_to_date), LOCK_LIMIT_S):
                    self._migrate()
            except BaseException:
                self.close()
                raise

    def _migrate(self) -> None:
        """One process does, while the others wait for its lock and find it done."""
        self._write(bring_up_to_date, MIGRATION_LIMIT_S, {WRITES: True, FOREIGN_KEYS_OFF: True})
        self._engine.dispose()  # the next connection looks at foreign keys again

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in one write transaction. Raises StoreUnavailable, and what `work` raises;
        then nothing was written."""
        return self._write(work, LOCK_LIMIT_S, {WRITES: True})

    def _write(
        self, work: Callable[[Connection], Result], limit_s: float, options: dict[str, bool]
    ) -> Result:
        def attempt() -> Result:
            with self._engine.connect() as connection:
                writing = connection.execution_options(**options)
                before = self._dialect.changed_rows(writing)
                with writing.begin():
                    result = work(writing)
                if before is None or before != self._dialect.changed_rows(writing):
                    self._tell()
                return result

        return self._patiently(attempt, limit_s)

    def _patiently(self, attempt: Callable[[], Result], limit_s: float) -> Result:
        """Again and again, as long as another process's lock is in the way. Raises
        StoreUnavailable, and what `attempt` raises."""
        deadline = time.monotonic() + limit_s
        while True:
            try:
                return attempt()
            except OperationalError as error:
                if not self._dialect.is_busy(error) or time.monotonic() > deadline:
                    raise StoreUnavailable(str(error.orig)) from error
            except SQLAlchemyError as error:
                raise StoreUnavailable(str(error)) from error
            time.sleep(_RETRY_S)

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` outside a transaction; no writer is waited for. Raises StoreUnavailable."""
        with _translated():
            return self._look(work)

    def _look(self, work: Callable[[Connection], Result]) -> Result:
        with self._engine.connect() as connection:
            return work(connection)

    def version(self) -> object:
        """A value that differs from the last one when this or another process has written since.
        Raises StoreUnavailable."""
        return self.read(self._dialect.version)

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the database if it is long. Called by one process only.

        It runs in a thread, so that other greenlets go on: while sandboxes write and flush, the
        disk may take half a second. Raises StoreUnavailable."""
        with _translated():
            if not self._dialect.is_checkpoint_due():
                return
            error = gevent.get_hub().threadpool.apply(_error_of, (self._dialect.checkpoint,))
            if error is not None:
                raise error

    def close(self) -> None:
        """Close the connections. May be repeated."""
        self._engine.dispose()


def _dialect_of(where: Path | str) -> Dialect:
    if isinstance(where, Path) or not where.startswith("postgresql:"):
        return SqliteFile(Path(where))
    from gateway.store.postgresql import PostgresDatabase

    return PostgresDatabase(where)


def _error_of(work: Callable[[], None]) -> Exception | None:
    """Handed over, for gevent prints what is raised in a thread of its pools."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - raised again where it is waited for
        return error
    return None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StoreUnavailable(str(error)) from error
