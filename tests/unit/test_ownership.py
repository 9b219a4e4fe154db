"""Whose sandboxes are, and which tokens of theirs are valid, in either database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from gateway.store.admission import AdmissionStore
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.history import HistoryStore
from gateway.store.once import OnceTable
from gateway.store.ownership import OwnershipTable
from gateway.store.room import Limits
from tests.support import ownership_contract
from tests.support.rows import row_of


@pytest.fixture
def database(place: str) -> Iterator[Database]:
    with closing(Database(place)) as opened:
        for sandbox_id in ("a", "b"):
            wanted = row_of(sandbox_id=sandbox_id, owner="alice")
            AdmissionStore(opened).admit(wanted, Limits(), now=1.0)
        yield opened


def test_the_first_generation_stays_until_it_is_renewed(database: Database) -> None:
    """Two workers that give out the first token at once give out the same."""
    ownership_contract.the_first_generation_stays_until_it_is_renewed(OwnershipTable(database))


def test_what_has_ended_gets_no_token(database: Database) -> None:
    """And still has its owner, who may read its end record."""

    def end(sandbox_id: str) -> None:
        EndRecordStore(database).mark_ended(sandbox_id, "deleted", ended_at=1.0)

    ownership_contract.what_has_ended_gets_no_token(OwnershipTable(database), end)


def test_what_is_unknown_gets_no_token(database: Database) -> None:
    """Else a token could be made before its sandbox."""
    ownership_contract.what_is_unknown_gets_no_token(OwnershipTable(database))


def test_there_may_be_thousands_to_ask_for(database: Database) -> None:
    """More than one statement takes parameters."""
    owners = OwnershipTable(database)
    owners.begin_generation("b", "first")

    asked = [f"s{number}" for number in range(2000)] + ["b"]

    assert owners.generations_of(asked) == {"b": "first"}


@pytest.mark.parametrize("name", ["plain", "nul \0 within", "中" * 200, "x" * 79 + "\0"])
def test_any_name_of_a_command_is_kept(database: Database, name: str) -> None:
    """Clients choose it; PostgreSQL keeps no NUL."""
    once = OnceTable(database)

    assert once.claim_once("a", name, "agent").daemon == "agent"
    assert once.claim_once("a", name, "another").daemon == "agent"
    assert once.claim_once("a", name.replace("\0", "") + "-", "third").daemon == "third"
    assert HistoryStore(database).write("a", [(name, 1.0, {"command": name, "output": "\0"})])
    assert HistoryStore(database).of("a") == [{"command": name, "output": "\0"}]
