"""Names in the store: one holder per owner, free again at the end. In both databases."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from gateway.errors import StoreUnavailable
from gateway.store.admission import AdmissionStore, Key
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.names import NameTable
from gateway.store.pool import PoolStore
from gateway.store.room import Limits
from gateway.store.sandboxes import SandboxStore
from gateway.store.tables import sandboxes
from tests.support.rows import row_of


@pytest.fixture
def database(place: str) -> Iterator[Database]:
    opened = Database(place)
    yield opened
    opened.close()


def _admit(database: Database, sandbox_id: str, key: str | None = None, **changed: object) -> str:
    """What came of it: the id, or why it was refused."""
    wanted = row_of(sandbox_id=sandbox_id, **changed)
    noted = None if key is None else Key(key, "print")
    admission = AdmissionStore(database).admit(wanted, Limits(), now=1.0, key=noted)
    if admission.row is not None:
        return admission.row.sandbox_id
    return admission.existing or admission.refused or ""


def test_a_name_has_one_holder_per_owner(database: Database) -> None:
    """Others may use the same word, and nobody is told of theirs."""
    assert _admit(database, "a1", owner="alice", name="web") == "a1"
    assert _admit(database, "a2", owner="alice", name="web") == "name"
    assert _admit(database, "b1", owner="bob", name="web") == "b1"
    assert [_admit(database, f"none{n}", owner="alice") for n in range(2)] == ["none0", "none1"]

    names = NameTable(database)
    assert (names.id_of("alice", "web"), names.id_of("bob", "web")) == ("a1", "b1")
    assert names.id_of("carol", "web") is None
    assert names.id_of("", "web") is None


def test_many_at_once_get_it_once(database: Database, place: str) -> None:
    """Whoever is second is refused, from whichever worker: each has a connection of its own."""

    def create(number: int) -> str:
        with closing(Database(place)) as own:
            return _admit(own, f"s{number}", name="one")

    with ThreadPoolExecutor(8) as threads:
        came = list(threads.map(create, range(16)))
    assert sorted(came)[:-1] == ["name"] * 15
    assert NameTable(database).id_of("", "one") == max(came)


@pytest.mark.parametrize("reason", ["deleted", "create_failed"])
def test_it_is_free_when_its_sandbox_has_ended(database: Database, reason: str) -> None:
    """A failed create leaves no name behind; what has ended is found by its id."""
    _admit(database, "s1", name="web")
    EndRecordStore(database).mark_ended("s1", reason, ended_at=2.0)

    assert NameTable(database).id_of("", "web") is None
    ended = SandboxStore(database).get("s1")
    assert ended is not None
    assert (ended.state, ended.name) == ("ended", None)
    assert _admit(database, "s2", name="web") == "s2"


def test_it_is_taken_while_its_sandbox_is_being_removed(database: Database) -> None:
    """The removal may fail, and then the sandbox is still there."""
    _admit(database, "s1", name="web", state="ready", container_id="c1")
    assert EndRecordStore(database).claim_removal("s1", "deleted", worker_id="w")
    assert _admit(database, "s2", name="web") == "name"


def test_a_pooled_one_gets_it_when_it_is_taken(database: Database) -> None:
    pool = PoolStore(database)
    pool.add_pooling(row_of(sandbox_id="p1", state="pooling", pool_key="k"))
    pool.mark_pooled("p1", container_id="c", ip_address=None, pid=1)
    assert _admit(database, "s1", name="web", pool_key="k") == "p1"
    assert NameTable(database).id_of("", "web") == "p1"


def test_the_idempotency_key_goes_first(database: Database) -> None:
    """The same create sent again is no second one, and its name is not in its own way."""
    assert _admit(database, "s1", key="k", name="web") == "s1"
    assert _admit(database, "s2", key="k", name="web") == "s1"
    assert _admit(database, "s3", key="other", name="web") == "name"


def test_an_adopted_one_keeps_it_unless_it_was_given_away(database: Database) -> None:
    """The sandbox is worth more than its name."""
    store = SandboxStore(database)
    assert store.adopt(row_of(sandbox_id="s1", state="ready", name="web"))
    assert store.adopt(row_of(sandbox_id="s2", state="ready", name="web"))

    assert NameTable(database).id_of("", "web") == "s1"
    second = store.get("s2")
    assert second is not None
    assert (second.state, second.name) == ("ready", None)


def test_the_table_itself_refuses_a_second_holder(database: Database) -> None:
    """Should a statement forget to look, nobody's requests go astray."""
    _admit(database, "s1", name="web")
    _admit(database, "s2")
    rename = sandboxes.update().where(sandboxes.c.sandbox_id == "s2").values(name="web")
    with pytest.raises(StoreUnavailable):
        database.write(lambda c: c.execute(rename))
