"""The log of what was written is copied into the database by a thread, not by whoever commits."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import gevent
import pytest
from sqlalchemy import text

from gateway.errors import StoreUnavailable
from gateway.store.database import Database
from gateway.store.sqlite_file import CHECKPOINT_BYTES, SqliteFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    made = Database(path)
    made.write(lambda connection: connection.execute(text("CREATE TABLE filled (content BLOB)")))
    yield made
    made.close()


def _fill(database: Database, rows: int) -> None:
    insert = text("INSERT INTO filled VALUES (zeroblob(200000))")
    for _ in range(rows):
        database.write(lambda connection: connection.execute(insert))


def _log(path: Path) -> int:
    return path.with_name("gateway.db-wal").stat().st_size


def _kept(path: Path) -> int:
    with closing(sqlite3.connect(path)) as another:
        return int(another.execute("SELECT count(*) FROM filled").fetchone()[0])


def test_a_commit_copies_nothing(database: Database, path: Path) -> None:
    """A commit runs on the hub, and the disk may be busy for others for half a second."""
    small = path.stat().st_size
    _fill(database, 40)
    assert _log(path) > CHECKPOINT_BYTES
    assert path.stat().st_size == small


def test_a_long_log_is_copied_and_begun_anew(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another thread; what was written stays, and the next commit finds a short log."""
    _fill(database, 40)
    threads: list[int] = []
    real = SqliteFile.checkpoint

    def noted(self: SqliteFile) -> None:
        threads.append(threading.get_native_id())
        real(self)

    monkeypatch.setattr(SqliteFile, "checkpoint", noted)
    database.checkpoint()

    assert threads
    assert threads[0] != threading.get_native_id()
    assert path.stat().st_size > 40 * 200_000
    assert _log(path) < 100_000
    _fill(database, 1)
    assert _log(path) < 500_000
    assert _kept(path) == 41


def test_a_short_log_is_left_alone(database: Database, path: Path) -> None:
    """Each copy costs the disk a flush."""
    _fill(database, 2)
    before = _log(path)
    database.checkpoint()
    assert _log(path) == before


def test_who_reads_for_long_loses_nothing(database: Database, path: Path) -> None:
    """The log cannot begin anew under a reader: it is copied as far as that goes, and later."""
    _fill(database, 40)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM filled").fetchone() == (40,)
        _fill(database, 5)
        database.checkpoint()
        assert reader.execute("SELECT count(*) FROM filled").fetchone() == (40,)
    database.checkpoint()
    assert _log(path) < 100_000
    assert _kept(path) == 45


def test_others_write_meanwhile(database: Database, path: Path) -> None:
    """What greenlets commit while a thread copies is there afterwards."""
    for _ in range(3):
        _fill(database, 30)
        copying = gevent.spawn(database.checkpoint)
        for _ in range(20):
            _fill(database, 1)
            gevent.sleep(0.001)
        copying.get(timeout=20)
    assert _kept(path) == 150


def test_a_log_that_cannot_be_copied_is_said(database: Database, path: Path) -> None:
    """Another process holds the lock for longer than is waited for."""
    _fill(database, 40)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            database.checkpoint()
        other.execute("ROLLBACK")
    assert _kept(path) == 40
