"""How many sandboxes there are, by the states that clients know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert

from gateway import clock
from gateway.store.census import StoreCensus
from gateway.store.database import Database
from gateway.store.tables import leases, sandboxes, tickets


@pytest.fixture
def database(place: str) -> Iterator[Database]:
    database = Database(place)
    yield database
    database.close()


def _add(database: Database, table: Any, *rows: dict[str, Any]) -> None:
    database.write(lambda c: c.execute(insert(table), list(rows)))


def _sandbox(sandbox_id: str, state: str, image: str = "") -> dict[str, Any]:
    times = {"created_at": 1.0, "born": 1.0, "idle_since": 1.0, "boot_id": "b"}
    return {"sandbox_id": sandbox_id, "state": state, "image": image, **times}


def test_an_empty_gateway_shows_zeros(database: Database) -> None:
    """A series that is missing cannot be told from a scrape that failed."""
    census = StoreCensus(database)

    assert set(census.sandboxes_by_state().values()) == {0}
    assert census.queue_length() == 0


def test_sandboxes_are_counted_once_each(database: Database) -> None:
    """Three clients of one sandbox are one connected sandbox; what has ended is none, and what
    stands in the pool is nobody's yet."""
    states = {"a": "ready", "b": "ready", "c": "ready", "d": "starting", "e": "ended"}
    states |= {"f": "pooled", "g": "pooling", "h": "paused"}
    _add(database, sandboxes, *(_sandbox(key, state) for key, state in states.items()))
    lease = {"sandbox_id": "a", "worker_id": "w", "purpose": "client", "taken_at": 1.0}
    _add(database, leases, *({"lease_id": f"l{n}", **lease} for n in range(3)))

    counted = StoreCensus(database).sandboxes_by_state()

    assert counted == {"starting": 1, "idle": 2, "connected": 1, "paused": 1, "removing": 0}


def test_the_pool_is_counted_by_what_it_serves(database: Database) -> None:
    """Those that are still being made serve nobody."""
    pooled = [_sandbox("a", "pooled", "x"), _sandbox("b", "pooled", "x")]
    _add(database, sandboxes, *pooled, _sandbox("c", "pooled", "y"), _sandbox("d", "pooling", "y"))

    ready = StoreCensus(database).pool_ready()

    assert ready == {("x", "standard"): 2, ("y", "standard"): 1}


def test_tickets_count_while_they_are_valid(database: Database) -> None:
    """One of a worker that was killed waits for nothing."""
    ticket = {"owner": "", "worker_id": "w", "turn": 1}
    now = clock.boot_s()
    _add(
        database,
        tickets,
        {**ticket, "valid_until": now + 60},
        {**ticket, "valid_until": now + 60},
        {**ticket, "valid_until": now - 1},
    )

    assert StoreCensus(database).queue_length() == 2
