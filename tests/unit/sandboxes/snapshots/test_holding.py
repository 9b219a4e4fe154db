"""Holds: whoever has one gives it back, whatever the store does meanwhile."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import gevent
import pytest

from gateway.errors import StoreUnavailable
from gateway.sandboxes.snapshots import holding
from gateway.sandboxes.snapshots.holding import Holding
from gateway.store import database
from gateway.store.database import Database
from gateway.store.holds import HoldStore
from gateway.store.sandboxes import SandboxStore
from tests.support.rows import row_of


def test_a_hold_ends_once_the_store_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever released it in vain is told; the sandbox would be busy for as long as its worker
    lives."""
    monkeypatch.setattr(database, "LOCK_LIMIT_S", 0.05)
    monkeypatch.setattr(holding, "RETRY_S", 0.01)
    with closing(Database(tmp_path / "store.db")) as store:
        sandboxes = SandboxStore(store)
        sandboxes.adopt(row_of(sandbox_id="box", state="ready", container_id="c"))
        unused = SimpleNamespace(mark=0)
        held = Holding(HoldStore(store), unused, unused, unused, "w1", unused)  # type: ignore[arg-type]
        assert held.claim("box") == "ready"

        with closing(sqlite3.connect(tmp_path / "store.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable):
                held.release("box")
            gevent.sleep(0.1)  # the first tries are in vain
            other.rollback()

        def state() -> str | None:
            row = sandboxes.get("box")
            return row and row.state

        with gevent.Timeout(10):
            while state() != "ready":
                gevent.sleep(0.01)
