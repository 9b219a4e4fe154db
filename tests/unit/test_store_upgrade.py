"""A file of the last version is opened with everything that it knows."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.store.database import Database
from gateway.store.endings import EndingStore
from gateway.store.events import EventStore
from gateway.store.history import HistoryStore
from gateway.store.once import OnceTable
from gateway.store.sandboxes import SandboxStore

ROOT = Path(__file__).resolve().parents[2]

VERSION_4 = (Path(__file__).parent / "store_version_4.sql").read_text()
"""As version 4 made it, with a row or two in each table."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.db"
    old = sqlite3.connect(path)
    old.executescript(VERSION_4)
    old.close()
    return path


def _schema(path: Path) -> dict[str, set[str]]:
    with sqlite3.connect(path) as reader:
        found = reader.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall()
        tables = [name for kind, name, _ in found if kind == "table"]
        schema = {
            name: {row[1] for row in reader.execute(f"PRAGMA table_info({name})")}
            for name in tables
        }
    schema["indexes"] = {name for kind, name, _ in found if kind == "index"}
    schema["triggers"] = {name for kind, name, _ in found if kind == "trigger"}
    reader.close()
    return schema


def test_nothing_is_lost(path: Path) -> None:
    """Sandboxes, ended ones with their last commands, events, `once`: all as before, and nothing
    is set aside."""
    database = Database(path)
    sandboxes = SandboxStore(database)

    [live] = sandboxes.live()
    assert (live.sandbox_id, live.owner, live.labels) == ("live1", "alice", {"team": "blue"})
    ended = sandboxes.get("ended1")
    assert ended is not None
    assert (ended.end_reason, ended.owner) == ("idle", "bob")
    assert [one["command"] for one in HistoryStore(database).of("ended1")] == ["make"]
    told = EventStore(database).since(0, sandbox_id=None, owner="alice", limit=10)
    assert [event.event for event in told] == ["created", "updated"]
    assert OnceTable(database).claim_once("live1", "r" * 200, "another") == "agent"
    database.close()
    assert not list(path.parent.glob("*.v4*"))


def test_it_is_as_a_new_one(path: Path, tmp_path: Path) -> None:
    """The same tables, columns, indexes and triggers, also when several workers open it at once."""
    script = (
        "import sys; from pathlib import Path; from gateway.store.database import Database\n"
        "sys.stdin.readline(); Database(Path(sys.argv[1])).close()\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script, path], cwd=ROOT, stdin=subprocess.PIPE)
        for _ in range(3)
    ]
    for worker in workers:
        worker.communicate(b"\n", timeout=60)
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    Database(tmp_path / "new.db").close()

    assert _schema(path) == _schema(tmp_path / "new.db")


def test_what_was_there_counts(path: Path) -> None:
    """Rows that are older than the triggers are counted, and can go."""
    database = Database(path)

    def kept() -> dict[tuple[str, str], int]:
        found = database.read(lambda c: c.exec_driver_sql("SELECT * FROM kept").all())
        return {(owner, kind): size for owner, kind, size in found if size}

    assert {*kept()} == {
        *(("alice", "events"), ("alice", "once"), ("alice", "ended")),
        *(("bob", "events"), ("bob", "history"), ("bob", "ended")),
    }
    EndingStore(database).forget_ended(before=1e12)
    assert {*kept()} == {
        *(("alice", "events"), ("alice", "once"), ("alice", "ended")),
        ("bob", "events"),
    }
    database.close()
