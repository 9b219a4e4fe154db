"""What commands changed, in the store: who will tell, what was told, and how much is kept. In both
databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.store import command_changes
from gateway.store.command_changes import CommandChangesTable, Noted
from gateway.store.database import Database
from gateway.store.once import OnceTable
from gateway.store.sandboxes import SandboxStore
from tests.support.rows import row_of

TOLD = {"added": ["/a"], "modified": [], "deleted": []}


@pytest.fixture
def database(place: str) -> Iterator[Database]:
    opened = Database(place)
    for name in ("box", "other"):
        row = row_of(sandbox_id=name, owner="alice", state="ready", container_id=name)
        SandboxStore(opened).adopt(row)
    yield opened
    opened.close()


@pytest.fixture
def table(database: Database) -> CommandChangesTable:
    return CommandChangesTable(database)


def test_what_is_told_is_read(table: CommandChangesTable) -> None:
    """From before the start of a command on; whoever tells first is the only one."""
    assert table.of("box", "k\0") is None
    table.open("box", "k\0", "w1")
    table.open("box", "k\0", "w2")
    assert table.of("box", "k\0") == Noted("w1", None)
    table.tell("box", "k\0", TOLD, 30)
    assert table.of("box", "k\0") == Noted(None, TOLD)
    table.open("box", "lost", "w1")
    table.tell("box", "lost", None, 0)
    assert table.of("box", "lost") == Noted(None, None)
    table.open("box", "refused", "w1")
    table.forget("box", "refused")
    assert table.of("box", "refused") is None
    table.tell("box", "refused", TOLD, 30)
    assert table.of("box", "refused") is None


def test_the_oldest_of_an_owner_go(
    table: CommandChangesTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By number and by bytes, over all sandboxes of the owner; the latest is always kept."""
    monkeypatch.setattr(command_changes, "MOST_BYTES", 1000)
    for number in range(5):
        box = "box" if number % 2 else "other"
        table.open(box, f"{number}", "w")
        table.tell(box, f"{number}", TOLD, 300)
    kept = [n for n in range(5) if table.of("box" if n % 2 else "other", f"{n}")]
    assert kept == [2, 3, 4]
    table.open("box", "large", "w")
    table.tell("box", "large", TOLD, 5000)
    assert table.of("box", "large") == Noted(None, TOLD)
    assert table.of("other", "4") is None


def test_a_claim_notes_all_of_a_command_at_once(
    database: Database, table: CommandChangesTable
) -> None:
    """Of two who send the same, the second gets what the first has noted, and notes nothing."""
    once = OnceTable(database)
    assert once.noted("box", "r") is None
    first = once.claim_once("box", "r", "agent", checkpoint="c1", watched=("once:r", "w1"))
    assert (first.is_first, first.checkpoint) == (True, "c1")
    second = once.claim_once("box", "r", "agent", checkpoint="c2", watched=("once:r", "w2"))
    assert (second.is_first, second.daemon, second.checkpoint) == (False, "agent", "c1")
    assert once.noted("box", "r") == second
    assert table.of("box", "once:r") == Noted("w1", None)
