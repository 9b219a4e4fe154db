"""The SQLite file: opened in WAL mode, written in short immediate transactions."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from gateway.errors import StoreUnavailable
from gateway.store.allowance import Allowance, grant
from gateway.store.upgrade import UPGRADABLE, bring_up_to_date

Result = TypeVar("Result")

LOCK_LIMIT_S = 5.0
"""How long another process may hold the write lock before a request fails."""

_RETRY_S = 0.002

LOG_BYTES = 8 * 1024 * 1024
"""What is left of the write-ahead log after a checkpoint. It grows while somebody else (a backup)
reads for long, and would stay as large as it ever was."""

USUAL_ALLOWANCE = Allowance.of(32)

_WRITES = "gateway_writes"
"""Execution option of connections that begin an immediate transaction."""


class Database:
    """One connection per process. SQLite's calls never yield to another greenlet, so a transaction
    is never shared; waiting for another process's lock happens between attempts and does yield.

    What is written is held to the `allowance` of each owner.
    """

    def __init__(self, path: Path, allowance: Allowance = USUAL_ALLOWANCE) -> None:
        self._path = path
        self._allowance = allowance
        self._commits = 0
        with _translated():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._set_aside_if_outdated()
            self._engine = self._connect()
            self.write(bring_up_to_date)

    def _connect(self) -> Engine:
        engine = create_engine(
            f"sqlite:///{self._path}",
            poolclass=StaticPool,
            # The lock is waited for in `write`, where other greenlets can go on meanwhile.
            connect_args={"timeout": 0, "check_same_thread": False},
            json_serializer=_json,
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, record: Any) -> None:
            grant(record.info, self._allowance)
            connection.isolation_level = None  # transactions are begun below, not by the driver
            for pragma in ("busy_timeout=2000", "journal_mode=WAL", "busy_timeout=0"):
                connection.execute(f"PRAGMA {pragma}")
            # Power loss may cost the last commits; it ends every container as well.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # SQLAlchemy announces reads as well; they need no transaction and wait for nobody.
            if connection.get_execution_options().get(_WRITES):
                connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    def _set_aside_if_outdated(self) -> None:
        if not self._path.exists():
            return
        probe = sqlite3.connect(self._path)
        try:
            version = probe.execute("PRAGMA user_version").fetchone()[0]
        finally:
            probe.close()
        if version != 0 and version not in UPGRADABLE:
            for suffix in ("", "-wal", "-shm"):
                old = self._path.with_name(self._path.name + suffix)
                if old.exists():
                    old.rename(self._path.with_name(f"{self._path.name}.v{version}{suffix}"))

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in one write transaction. Raises StoreUnavailable."""
        deadline = time.monotonic() + LOCK_LIMIT_S
        while True:
            try:
                with self._engine.connect() as connection:
                    writing = connection.execution_options(**{_WRITES: True})
                    with writing.begin():
                        result = work(writing)
                    self._commits += 1
                    return result
            except OperationalError as error:
                if not _is_locked(error) or time.monotonic() > deadline:
                    raise StoreUnavailable(str(error.orig)) from error
            except SQLAlchemyError as error:
                raise StoreUnavailable(str(error)) from error
            time.sleep(_RETRY_S)

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` outside a transaction; in WAL mode no writer is waited for."""
        with _translated(), self._engine.connect() as connection:
            return work(connection)

    def version(self) -> tuple[int, int]:
        """Another one whenever something was written, by this process or another."""
        return self._commits, self.read(
            lambda c: int(c.exec_driver_sql("PRAGMA data_version").scalar_one())
        )

    def close(self) -> None:
        """Close the connection. May be repeated."""
        self._engine.dispose()


def _json(value: object) -> str:
    """As it is, which takes a character of Chinese half of what escaping it does."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(value)
    return text


def _is_locked(error: OperationalError) -> bool:
    # Python 3.10 has no `sqlite_errorcode`; SQLite's texts for BUSY and LOCKED both say it.
    return "locked" in str(error.orig)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StoreUnavailable(str(error)) from error
