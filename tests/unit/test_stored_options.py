"""Options of sandboxes that no query reads, in the row's `options`. In both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from gateway.store.admission import AdmissionStore
from gateway.store.database import Database
from gateway.store.pool import PoolStore
from gateway.store.room import Limits
from gateway.store.sandboxes import SandboxStore
from tests.support.old_store import WITHOUT_SNAPSHOTS
from tests.support.rows import row_of

ASKED: dict[str, Any] = {"root": True, "ports": [80, 443], "what": {"ü": None}, "share": 0.25}


@pytest.fixture
def database(place: str) -> Iterator[Database]:
    opened = Database(place)
    yield opened
    opened.close()


def _options_of(database: Database, sandbox_id: str) -> Any:
    row = SandboxStore(database).get(sandbox_id)
    assert row is not None
    return row.options


def test_a_new_sandbox_has_what_was_asked_for(database: Database) -> None:
    """And one that asks for nothing has nothing."""
    admission = AdmissionStore(database)
    for sandbox_id, options in (("s1", ASKED), ("s2", {})):
        wanted = row_of(sandbox_id=sandbox_id, options=options)
        assert admission.admit(wanted, Limits(), now=1.0).row == wanted

    assert (_options_of(database, "s1"), _options_of(database, "s2")) == (ASKED, {})
    assert [row.options for row in SandboxStore(database).live()] == [ASKED, {}]


def test_one_from_the_pool_has_its_clients(database: Database) -> None:
    """Not those that it was made with."""
    pool = PoolStore(database)
    pool.add_pooling(row_of(sandbox_id="p1", state="pooling", pool_key="k", options={"root": 0}))
    assert pool.mark_pooled("p1", container_id="c1", ip_address=None, pid=None)
    assert [row.options for row in pool.all()] == [{"root": 0}]

    wanted = row_of(sandbox_id="s1", pool_key="k", options=ASKED)
    taken = AdmissionStore(database).admit(wanted, Limits(), now=1.0).row

    assert taken is not None
    assert (taken.sandbox_id, taken.options) == ("p1", ASKED)
    assert _options_of(database, "p1") == ASKED


def test_an_adopted_one_keeps_them(database: Database) -> None:
    """Its container's label told of them."""
    assert SandboxStore(database).adopt(row_of(sandbox_id="a1", state="ready", options=ASKED))
    assert _options_of(database, "a1") == ASKED


def test_a_store_of_revision_0003_keeps_its_data(place: str) -> None:
    """Its sandboxes have no such options, and all else as before."""
    kept = row_of(sandbox_id="s1", owner="alice", name="web", labels={"team": "blue"})

    def back(connection: Any) -> None:
        for statement in WITHOUT_SNAPSHOTS:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("ALTER TABLE sandboxes DROP COLUMN options")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0003'")

    with closing(Database(place)) as database:
        assert AdmissionStore(database).admit(kept, Limits(), now=1.0).row == kept
        database.write(back)
    with closing(Database(place)) as database:
        assert SandboxStore(database).get("s1") == kept
        wanted = row_of(sandbox_id="s2", options=ASKED)
        assert AdmissionStore(database).admit(wanted, Limits(), now=1.0).row == wanted
