"""A store of an earlier version is opened with everything that it knows; one of a later version is
refused as it is."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from gateway.errors import StoreTooNew, StoreUnavailable
from gateway.store import byte_counts, revision, upgrade
from gateway.store.admission import AdmissionStore, Key
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.events import EventStore
from gateway.store.history import HistoryStore
from gateway.store.leases import LeaseStore
from gateway.store.migrations import carrying_out
from gateway.store.migrations.schema_0001 import metadata as first_schema
from gateway.store.once import OnceTable
from gateway.store.ownership import OwnershipTable
from gateway.store.pool import PoolStore
from gateway.store.room import Limits
from gateway.store.sandboxes import SandboxStore
from tests.support.rows import row_of

ROOT = Path(__file__).resolve().parents[2]

HERE = Path(__file__).parent

EARLIER = (1, 2, 3, 4, 7)
"""Versions of which there is a file, as that version made it, with a row or two in each table."""


@pytest.fixture
def old(tmp_path: Path) -> Callable[[int], Path]:
    """A file of an earlier version."""

    def make(version: int) -> Path:
        path = tmp_path / "gateway.db"
        with closing(sqlite3.connect(path)) as file:
            file.executescript((HERE / f"store_version_{version}.sql").read_text())
        return path

    return make


def _schema(database: Database) -> dict[str, set[Any]]:
    """Names of tables, columns and indexes, and (where SQLite tells) triggers."""

    def read(connection: Any) -> dict[str, set[Any]]:
        found = inspect(connection)
        schema: dict[str, set[Any]] = {
            table: {column["name"] for column in found.get_columns(table)}
            for table in found.get_table_names()
        }
        schema["indexes"] = {
            (index["name"], *index["column_names"])
            for table in found.get_table_names()
            for index in found.get_indexes(table)
        }
        if connection.dialect.name == "sqlite":
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        else:
            triggers = (
                "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
                " WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace"
            )
        schema["triggers"] = {row[0] for row in connection.exec_driver_sql(triggers)}
        return schema

    return database.read(read)


def _content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as file:
        return list(file.iterdump())


def test_everything_of_the_last_version_is_there(old: Callable[[int], Path]) -> None:
    """Sandboxes with their users, deadlines and tokens, ended ones with their last commands,
    events, leases, tickets, idempotency keys, `once`: all that the last version had written."""
    with closing(Database(old(7))) as database:
        sandboxes, admission = SandboxStore(database), AdmissionStore(database)

        [live] = sandboxes.live()
        assert (live.sandbox_id, live.owner, live.uid, live.pid) == ("live1", "alice", 70001, 42)
        assert (live.labels, live.container_id) == ({"team": "green"}, "c-live1")
        assert (live.timeout_s, live.expires, live.idle_since) == (600.0, 611.0, 10.0)
        assert (live.lease_count, live.client_count) == (1, 1)
        ended = sandboxes.get("ended1")
        assert ended is not None
        assert (ended.end_reason, ended.end_detail) == ("deleted", "by hand")
        assert (ended.exit_code, ended.ended_at) == (3, 1700000001.0)
        history = HistoryStore(database)
        assert [one["command"] for one in history.of("ended1")] == ["make", "test"]
        assert history.of("live1") == [{"command": "ls", "output": "é中"}]
        told = EventStore(database).since(0, sandbox_id=None, owner=None, limit=10)
        assert [event.event for event in told] == ["created", "created", "ended", "updated"]
        assert [event.number for event in told] == [1, 2, 3, 4]
        once = OnceTable(database)
        assert once.claim_once("live1", "r" * 200, "another").daemon == "agent-1"
        assert once.claim_once("live1", "r2", "another").daemon == "agent-2"
        assert OwnershipTable(database).generation_of("live1") == "12e4"
        assert OwnershipTable(database).owner_of("ended1") == "bob"
        again = admission.admit(row_of(owner="alice"), Limits(), now=6.0, key=Key("k1", "print-k1"))
        assert again.existing == "live1"
        assert LeaseStore(database).workers_with_traces() == {"w1", "maker"}
        assert admission.next_ticket(now=6.0) == 1
        assert [row.sandbox_id for row in PoolStore(database).all()] == ["pool1"]


def test_numbers_go_on_where_they_were(old: Callable[[int], Path]) -> None:
    """Followers and tickets are told apart by them, also when the last rows are gone."""
    path = old(7)
    with closing(sqlite3.connect(path)) as file:
        file.execute("DELETE FROM events WHERE number > 2")
        file.commit()

    with closing(Database(path)) as database:
        EventStore(database).note("live1", "oom")
        told = EventStore(database).since(2, sandbox_id=None, owner=None, limit=10)

    assert [event.number for event in told] == [5]


@pytest.mark.parametrize("version", [4, 7])
def test_nothing_of_older_ones_is_lost(old: Callable[[int], Path], version: int) -> None:
    """What both have in common."""
    path = old(version)
    with closing(Database(path)) as database:
        assert [row.sandbox_id for row in SandboxStore(database).live()] == ["live1"]
        told = EventStore(database).since(0, sandbox_id=None, owner="alice", limit=10)
        assert [event.event for event in told][:2] == ["created", "updated"][: len(told)]
        assert OnceTable(database).claim_once("live1", "r" * 200, "x").daemon.startswith("agent")
    assert [found.name for found in path.parent.glob("*.v*")] == []


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_first_versions_are_migrated_too(old: Callable[[int], Path], version: int) -> None:
    """They were set aside once: now what they know is known."""
    path = old(version)
    with closing(Database(path)) as database:
        [live] = SandboxStore(database).live()
        assert (live.sandbox_id, live.container_id, live.lease_count) == ("live1", "c1", 1)
        ended = SandboxStore(database).get("ended1")
        assert ended is not None
        assert (ended.end_reason, ended.ended_at) == ("idle", 1700000000.0)
        if version > 1:
            assert OnceTable(database).claim_once("live1", "r", "another").daemon == "agent"
        if version == 3:
            assert (live.owner, live.labels) == ("alice", {"team": "blue"})
            assert OwnershipTable(database).begin_generation("live1", "12e4") == "12e4"
            assert HistoryStore(database).of("ended1") == [{"command": "make"}]
    assert [found.name for found in path.parent.glob("*.v*")] == []


@pytest.mark.parametrize("version", EARLIER)
def test_it_is_as_a_new_one(old: Callable[[int], Path], tmp_path: Path, version: int) -> None:
    """The same tables, columns, indexes and triggers."""
    with (
        closing(Database(old(version))) as migrated,
        closing(Database(tmp_path / "new.db")) as new,
    ):
        assert _schema(migrated) == _schema(new)


@pytest.mark.long
def test_several_workers_may_open_it_at_once(old: Callable[[int], Path], tmp_path: Path) -> None:
    """One migrates it, the others wait for that."""
    path = old(7)
    script = (
        "import sys; from pathlib import Path; from gateway.store.database import Database\n"
        "sys.stdin.readline(); Database(Path(sys.argv[1])).close()\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script, path], cwd=ROOT, stdin=subprocess.PIPE)
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=90)

    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert not revision.is_behind(path)


@pytest.mark.parametrize("version", [0, 4, 7])
def test_one_that_another_worker_brings_up_to_date_just_now_is_not_too_new(
    old: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """Between this one's questions: both workers of a gateway start at the same moment."""
    path = old(version) if version else tmp_path / "gateway.db"
    asked = []

    def inspect_and_be_overtaken(connection: Any) -> Any:
        found = inspect(connection)
        if not asked:
            asked.append(found.has_table("alembic_version"))
            Database(path).close()

            class AsItWas:
                has_table = staticmethod(lambda name: False)

            return AsItWas
        return found

    monkeypatch.setattr(upgrade, "inspect", inspect_and_be_overtaken)

    with closing(Database(path)) as database:
        assert len(SandboxStore(database).live()) == (1 if version else 0)
    assert asked == [False]


@pytest.mark.parametrize("version", [4, 7])
def test_what_was_there_counts(old: Callable[[int], Path], version: int) -> None:
    """Rows that are older than the triggers are counted, those that come are, and both can go."""
    with closing(Database(old(version))) as database:

        def kept() -> dict[tuple[str, str], int]:
            query = "SELECT owner, kind, bytes FROM kept_bytes"
            found = database.read(lambda c: c.exec_driver_sql(query).all())
            return {(owner, kind): size for owner, kind, size in found if size}

        before = kept()
        assert {("alice", "events"), ("alice", "once"), ("bob", "history")} <= {*before}
        OnceTable(database).claim_once("live1", "new", "agent")
        HistoryStore(database).write("live1", [("new", 1.0, {"command": "ls"})])
        EndRecordStore(database).forget_ended(before=1e12)
        running = kept()
        assert ("bob", "history") not in running
        assert running["alice", "once"] > before["alice", "once"]
        database.write(byte_counts.count_anew)
        assert kept() == running


# --- what must not be opened, and what fails half-way --------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE sandboxes (other TEXT); PRAGMA user_version=999;",
        "CREATE TABLE alembic_version (version_num TEXT); PRAGMA user_version=8;"
        "INSERT INTO alembic_version VALUES ('0999');",
        "CREATE TABLE alembic_version (version_num TEXT);"
        "INSERT INTO alembic_version VALUES ('9a31c5');",
    ],
)
def test_a_later_version_is_refused(tmp_path: Path, script: str) -> None:
    """What this one does not know it must not write into, nor put away."""
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path)) as file:
        file.executescript(script)
    before = _content(path)

    with pytest.raises(StoreTooNew, match=r"999|9a31c5"):
        Database(path)
    with pytest.raises(StoreTooNew):
        revision.is_behind(path)

    assert _content(path) == before
    assert [found.name for found in tmp_path.iterdir()] == ["gateway.db"]


@pytest.mark.parametrize("version", [3, 7])
def test_a_migration_that_fails_changes_nothing(
    old: Callable[[int], Path], version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space, a bug, whatever: the file is as it was, and the next try succeeds."""
    path = old(version)
    before = _content(path)

    def fail(connection: Any) -> None:
        connection.exec_driver_sql("INSERT INTO no_such_table VALUES (1)")

    with monkeypatch.context() as patched:
        patched.setattr(byte_counts, "count_anew", fail)
        with pytest.raises(StoreUnavailable, match="no_such_table"):
            Database(path)

    assert _content(path) == before
    assert revision.is_behind(path)
    with closing(Database(path)) as database:
        assert [row.sandbox_id for row in SandboxStore(database).live()] == ["live1"]


def test_a_migration_that_is_killed_changes_nothing(old: Callable[[int], Path]) -> None:
    """Just before its commit."""
    path = old(7)
    before = _content(path)
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from gateway.store import byte_counts\nfrom gateway.store.database import Database\n"
        "byte_counts.count_anew = lambda connection: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Database(Path(sys.argv[1]))\n"
    )

    killed = subprocess.run([sys.executable, "-c", script, path], cwd=ROOT, timeout=90, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert _content(path) == before
    with closing(Database(path)) as database:
        assert [row.sandbox_id for row in SandboxStore(database).live()] == ["live1"]


def test_foreign_keys_hold_after_a_migration(old: Callable[[int], Path]) -> None:
    """They are not looked at while tables are changed, but by the same process afterwards."""
    with closing(Database(old(7))) as database:
        asked = database.read(lambda c: c.exec_driver_sql("PRAGMA foreign_keys").scalar_one())
        broken = database.read(lambda c: c.exec_driver_sql("PRAGMA foreign_key_check").all())

        assert (asked, broken) == (1, [])
        with pytest.raises(StoreUnavailable, match="FOREIGN KEY"):
            database.write(
                lambda c: c.exec_driver_sql(
                    "INSERT INTO idempotency VALUES ('alice', 'key', 'print', 'nobody')"
                )
            )


# --- the revisions -------------------------------------------------------------------------------


def test_the_revisions_are_those_that_are_known() -> None:
    """`gateway.store.revision` says them without an import of Alembic."""
    scripts = carrying_out.scripts()

    assert scripts.get_heads() == [revision.HEAD]
    assert {script.revision for script in scripts.walk_revisions()} == {*revision.KNOWN}


def test_revisions_lead_to_the_tables_of_now(place: str, tmp_path: Path) -> None:
    """From the first one on, in both databases: what a new store has."""
    with closing(Database(place)) as new:
        wanted = _schema(new)

        def begin_anew(connection: Any) -> None:
            byte_counts.uninstall(connection)
            for table in wanted.keys() - {"indexes", "triggers"}:
                cascade = "" if connection.dialect.name == "sqlite" else " CASCADE"
                connection.exec_driver_sql(f"DROP TABLE {table}{cascade}")
            first_schema.create_all(connection)
            upgrade.stamp(connection, "0001")

        new.write(begin_anew)
        assert _schema(new) != wanted
    with closing(Database(place)) as migrated:
        assert _schema(migrated) == wanted


def test_an_open_store_takes_no_import_of_alembic(tmp_path: Path) -> None:
    """It takes longer than all else that a worker's start does with the store."""
    script = (
        "import sys; from pathlib import Path; from gateway.store.database import Database\n"
        "for _ in range(2): Database(Path(sys.argv[1])).close()\n"
        "print('alembic' in sys.modules)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "gateway.db"],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )

    assert done.stdout == "False\n"
