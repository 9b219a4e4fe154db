"""A gateway that finds the store of another version: it takes over all of an older one, and does
not touch a newer one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.process.master_lock import register_master
from tests.support.gateway_process import GatewayProcess
from tests.support.old_store import back_to_version_7
from tests.support.rest_commands import result_of

UNIT = Path(__file__).resolve().parents[1] / "unit"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    made = GatewayProcess(tmp_path, pool_size="0")
    try:
        yield made
    finally:
        made.close()


def test_a_gateway_takes_over_what_an_older_one_has_written(gateway: GatewayProcess) -> None:
    """Sandboxes with their labels, the end record of one that ended with its last command, events
    and idempotency keys; both workers start over the file, and none migrates it."""
    gateway.start_ready()
    key = {"Idempotency-Key": "first"}
    made = gateway.post("/sandboxes", json={"labels": {"team": "blue"}}, headers=key).json()
    ended = gateway.create()
    result_of(gateway, ended, "echo its last words")
    gateway.delete(f"/sandboxes/{ended}")
    record = gateway.get(f"/sandboxes/{ended}/events").json()
    events = gateway.get("/events").json()
    before = gateway.get(f"/sandboxes/{made['sandbox_id']}").json()
    gateway.kill()
    back_to_version_7(gateway.data_dir / "gateway.db")

    gateway.start_ready()

    after = gateway.get(f"/sandboxes/{made['sandbox_id']}").json()
    assert after["labels"] == {"team": "blue"}
    assert (after["created_at"], after["sandbox_id"]) == (before["created_at"], made["sandbox_id"])
    assert result_of(gateway, made["sandbox_id"], "echo on")["output"] == "on\n"
    again = gateway.post("/sandboxes", json={"labels": {"team": "blue"}}, headers=key).json()
    assert again["sandbox_id"] == made["sandbox_id"]
    assert gateway.get(f"/sandboxes/{ended}/events").json() == record
    assert gateway.get("/events").json()[: len(events)] == events
    assert gateway.get(f"/sandboxes/{ended}").status_code == 404
    assert "its last words" in gateway.get(f"/sandboxes/{ended}").text
    assert "The store was migrated in" in gateway.log()


def test_a_newer_store_ends_the_start_in_one_line(gateway: GatewayProcess) -> None:
    """It is neither used nor put away: its version of the gateway finds it as it was."""
    gateway.data_dir.mkdir(mode=0o700)
    path = gateway.data_dir / "gateway.db"
    with closing(sqlite3.connect(path)) as file:
        file.executescript(
            "CREATE TABLE alembic_version (version_num TEXT);"
            "INSERT INTO alembic_version VALUES ('0999'); PRAGMA user_version=8;"
        )
    before = path.read_bytes()

    with pytest.raises(AssertionError, match="revision 0999"):
        gateway.start()

    assert gateway.wait_stopped() == 1
    assert "Traceback" not in gateway.log()
    assert path.read_bytes() == before


def test_no_store_is_migrated_that_another_gateway_uses(gateway: GatewayProcess) -> None:
    """A second start by mistake, or one before the older version was stopped: that goes on as if
    nothing had been."""
    gateway.data_dir.mkdir(mode=0o700)
    path = gateway.data_dir / "gateway.db"
    with closing(sqlite3.connect(path)) as file:
        file.executescript((UNIT / "store_version_7.sql").read_text())
    before = path.read_bytes()
    mark = register_master(gateway.data_dir)
    assert mark is not None

    with pytest.raises(AssertionError, match="Stop it first"):
        gateway.start()

    mark.close()
    assert gateway.wait_stopped() == 1
    assert path.read_bytes() == before
