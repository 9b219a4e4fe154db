"""How many sandboxes there are, by the states that clients know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from gateway.store.census import StoreCensus
from gateway.store.database import Database
from gateway.store.tables import leases, sandboxes


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "gateway.db")
    yield database
    database.close()


def test_an_empty_gateway_shows_zeros(database: Database) -> None:
    """A series that is missing cannot be told from a scrape that failed."""
    assert set(StoreCensus(database).sandboxes_by_state().values()) == {0}


def test_sandboxes_are_counted_once_each(database: Database) -> None:
    """Three clients of one sandbox are one connected sandbox; what has ended is none."""
    states = {"a": "ready", "b": "ready", "c": "ready", "d": "starting", "e": "ended"}
    times = {"created_at": 1.0, "idle_since": 1.0, "boot_id": "b"}
    database.write(
        lambda c: c.execute(
            insert(sandboxes),
            [{"sandbox_id": key, "state": state, **times} for key, state in states.items()],
        )
    )
    held = [{"lease_id": f"l{n}", "sandbox_id": "a", "worker_id": "w"} for n in range(3)]
    database.write(
        lambda c: c.execute(insert(leases), [{**lease, "purpose": "client"} for lease in held])
    )

    counted = StoreCensus(database).sandboxes_by_state()

    assert counted == {"starting": 1, "idle": 2, "connected": 1, "removing": 0}
