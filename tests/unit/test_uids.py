"""Users of their own are handed out once at a time, by whichever worker notes the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.store.admission import AdmissionStore
from gateway.store.database import Database
from gateway.store.pool import PoolStore
from gateway.store.room import Limits
from gateway.store.rows import SandboxRow
from gateway.store.sandboxes import SandboxStore
from tests.support.old_store import back_to_version_6

UIDS = range(70000, 70004)


def _row(sandbox_id: str, state: str = "starting") -> SandboxRow:
    return SandboxRow(
        sandbox_id=sandbox_id,
        state=state,
        container_id=None,
        worker_id="w",
        created_at=1.0,
        ip_address=None,
        idle_since=1.0,
        boot_id="boot",
        end_reason=None,
        lease_count=0,
    )


class _Worker:
    """One process's view of the store."""

    def __init__(self, path: Path | str, uids: range = UIDS) -> None:
        self.database = Database(path)
        self.admission = AdmissionStore(self.database, uids)
        self.pool = PoolStore(self.database, uids)
        self.store = SandboxStore(self.database)

    def admit(self, sandbox_id: str) -> int:
        admitted = self.admission.admit(_row(sandbox_id), Limits(), now=1.0)
        assert admitted.row is not None
        return admitted.row.uid


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
def workers(place: str) -> Iterator[list[_Worker]]:
    made = [_Worker(place), _Worker(place)]
    yield made
    for worker in made:
        worker.database.close()


def test_nobody_gets_what_another_has(workers: list[_Worker]) -> None:
    """Neither in the other worker nor in the pool; when all are taken, the shared one."""
    first, second = workers
    handed_out = [first.admit("a"), second.admit("b"), second.admit("c")]
    handed_out.append(first.pool.add_pooling(_row("p", "pooling")).uid)

    assert sorted(handed_out) == list(UIDS)
    assert second.admit("d") == 1000
    assert second.pool.add_pooling(_row("q", "pooling")).uid == 1000


def test_it_is_free_when_its_sandbox_has_ended(workers: list[_Worker]) -> None:
    """Or was dropped from the pool, or never got the user."""
    first, second = workers
    for name in "abc":
        first.admit(name)
    pooled = first.pool.add_pooling(_row("p", "pooling")).uid
    assert first.pool.drop("p")

    assert second.admit("d") == pooled
    assert first.store.mark_ready("d", container_id="c", ip_address=None, now=1.0)  # as user 1000
    assert second.admit("e") == pooled
    found = first.store.get("d")
    assert found is not None
    assert found.uid == 1000


def test_a_taken_one_keeps_its_own(workers: list[_Worker]) -> None:
    """The request for it brings none."""
    first, second = workers
    pooled = first.pool.add_pooling(replace(_row("p", "pooling"), pool_key="k"))
    first.pool.mark_pooled("p", container_id="c", ip_address=None, pid=1, uid=pooled.uid)
    wanted = replace(_row("wanted"), pool_key="k")

    taken = second.admission.admit(wanted, Limits(), now=1.0).row

    assert taken is not None
    assert (taken.sandbox_id, taken.uid) == ("p", pooled.uid)


def test_without_numbers_all_are_the_same(path: Path) -> None:
    """SANDBOX_UIDS is empty."""
    with closing(_Worker(path, range(0)).database) as database:
        admission = AdmissionStore(database)
        rows = [admission.admit(_row(name), Limits(), now=1.0).row for name in "ab"]

    assert [row.uid for row in rows if row is not None] == [1000, 1000]


def test_a_file_without_the_column_opens_with_its_sandboxes(path: Path) -> None:
    """Those are user 1000, for there was no other."""
    with closing(_Worker(path, range(0)).database) as database:
        AdmissionStore(database).admit(_row("old"), Limits(), now=1.0)
    back_to_version_6(path)

    worker = _Worker(path)
    with closing(worker.database):
        old = worker.store.get("old")
        assert old is not None
        assert old.uid == 1000
        assert worker.admit("new") in UIDS
    assert not list(path.parent.glob("gateway.db.v*"))
