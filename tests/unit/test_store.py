"""The store: every step is a compare-and-set, over processes, with a lock that others may hold."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from gateway.errors import StoreUnavailable
from gateway.store import database
from gateway.store.admission import AdmissionStore
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.leases import LeaseStore
from gateway.store.room import Limits
from gateway.store.sandboxes import SandboxStore
from gateway.store.tables import sandboxes
from tests.support.prepared_python import PreparedPython
from tests.support.rows import row_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "gateway.db"


class _Stores(SandboxStore, EndRecordStore, LeaseStore):
    """All over one database, and the first step of a create."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.database = database
        self._admission = AdmissionStore(database)

    def add_starting(self, sandbox_id: str, **changed: Any) -> None:
        wanted = row_of(sandbox_id=sandbox_id, **changed)
        assert self._admission.admit(wanted, Limits(), now=1.0).row == wanted


@pytest.fixture
def store(place: str):
    opened = Database(place)
    yield _Stores(opened)
    opened.close()


@pytest.fixture
def file_store(path: Path):
    """In a file of SQLite's."""
    opened = Database(path)
    yield _Stores(opened)
    opened.close()


def _make_ready(store: _Stores, sandbox_id: str, now: float = 10.0) -> None:
    store.add_starting(sandbox_id, idle_since=now)
    assert store.mark_ready(
        sandbox_id, container_id=f"c-{sandbox_id}", ip_address="10.0.0.2", now=now
    )


def test_a_sandboxs_life(store: _Stores) -> None:
    """starting, ready, removing, ended; and no way back from the end."""
    store.add_starting("s")
    assert store.get("s").state == "starting"
    assert not store.claim_removal("s", "deleted", worker_id="w")
    assert store.mark_ready("s", container_id="c", ip_address=None, now=11.0)
    assert not store.mark_ready("s", container_id="other", ip_address=None, now=12.0)
    assert store.claim_removal("s", "deleted", worker_id="w")
    assert not store.claim_removal("s", "deleted", worker_id="w")
    assert [row.state for row in store.live()] == ["removing"]
    assert store.mark_ended("s", "exited", ended_at=20.0)
    assert not store.mark_ended("s", "exited", ended_at=21.0)
    assert not store.give_up_removal("s")

    assert store.live() == []
    assert store.get("s").end_reason == "deleted"
    assert store.end_reasons({"s", "unknown"}) == {"s": "deleted"}


def test_a_removal_that_was_given_up_can_be_claimed_again(store: _Stores) -> None:
    """An engine that was away must not make a sandbox immortal."""
    _make_ready(store, "s")
    assert store.claim_removal("s", "deleted", worker_id="w")
    assert store.give_up_removal("s")
    row = store.get("s")
    assert (row.state, row.end_reason) == ("ready", None)

    assert store.claim_idle_removal("s", idle_since=row.idle_since, worker_id="w")


def test_a_removal_that_was_left_is_taken_up_by_one(store: _Stores) -> None:
    """An engine that did not answer may do it yet: the sandbox keeps why it ends and is not given
    out again, and of several who ask for its end anew one carries it on."""
    _make_ready(store, "s")
    assert store.claim_removal("s", "timeout", "it was over", worker_id="a")
    assert store.workers_with_traces() == {"a"}
    assert not store.take_up_removal("s", worker_id="b")

    assert store.leave_removal("s")

    assert store.workers_with_traces() == set()
    assert not store.claim_removal("s", "deleted", worker_id="b")
    assert store.take_up_removal("s", worker_id="b")
    assert not store.take_up_removal("s", worker_id="c")
    assert store.mark_ended("s", "deleted", ended_at=20.0)
    row = store.get("s")
    assert (row.end_reason, row.end_detail) == ("timeout", "it was over")
    assert not store.leave_removal("s")
    assert not store.take_up_removal("s", worker_id="b")


def test_a_lease_is_given_for_ready_sandboxes_only(store: _Stores) -> None:
    """Nobody gets to use one that is going."""
    assert not store.acquire_lease("l0", "unknown", worker_id="w", purpose="client")
    store.add_starting("s")
    assert not store.acquire_lease("l1", "s", worker_id="w", purpose="client")
    store.mark_ready("s", container_id="c", ip_address=None, now=1.0)
    assert store.acquire_lease("l2", "s", worker_id="w", purpose="client")
    assert store.get("s").lease_count == 1
    store.claim_removal("s", "deleted", worker_id="w")
    assert not store.acquire_lease("l3", "s", worker_id="w", purpose="client")


def test_a_lease_tells_of_the_sandbox_as_it_is_then(store: _Stores) -> None:
    """Whoever takes it need not ask again."""
    _make_ready(store, "s", now=10.0)
    leased = store.acquire_lease("l1", "s", worker_id="w", purpose="client")
    assert (leased.state, leased.container_id, leased.owner) == ("ready", "c-s", "")

    assert store.claim_pause("s", worker_id="w")
    assert store.acquire_lease("l2", "s", worker_id="w", purpose="client").state == "pausing"


@pytest.mark.parametrize("others", [0, 1])
def test_only_the_last_lease_makes_idle_and_only_that_sandbox(store: _Stores, others: int) -> None:
    """Its neighbour, whose client has long gone, goes on being idle since then."""
    for name in ("s", "neighbour"):
        _make_ready(store, name, now=10.0)
    for number in range(1 + others):
        store.acquire_lease(f"l{number}", "s", worker_id="w", purpose="client")

    store.release_lease("l0", "s", now=20.0)
    store.release_lease("l0", "s", now=30.0)  # may be repeated, and counts once

    assert store.get("s").idle_since == (10.0 if others else 20.0)
    assert store.get("neighbour").idle_since == 10.0


def test_a_lease_protects_from_idle_cleanup_and_not_from_delete(store: _Stores) -> None:
    """Cleanup takes what nobody uses; delete takes everything."""
    _make_ready(store, "s", now=10.0)
    store.acquire_lease("l", "s", worker_id="w", purpose="client")

    assert not store.claim_idle_removal("s", idle_since=10.0, worker_id="w")
    assert store.claim_removal("s", "deleted", worker_id="w")


def test_a_visit_in_between_saves_from_cleanup(store: _Stores) -> None:
    """The row was read, somebody came and went, and only then cleanup claims: it must lose."""
    _make_ready(store, "s", now=10.0)
    row = store.get("s")
    store.acquire_lease("l", "s", worker_id="w", purpose="client")
    store.release_lease("l", "s", now=99.0)

    assert not store.claim_idle_removal("s", idle_since=row.idle_since, worker_id="w")
    assert store.get("s").idle_since == 99.0


def test_only_the_last_lease_makes_it_idle(store: _Stores) -> None:
    """And releasing twice changes nothing."""
    _make_ready(store, "s", now=10.0)
    for lease in ("a", "b"):
        store.acquire_lease(lease, "s", worker_id="w", purpose="client")

    store.release_lease("a", "s", now=20.0)
    assert store.get("s").idle_since == 10.0
    store.release_lease("b", "s", now=30.0)
    assert store.get("s").idle_since == 30.0
    store.release_lease("b", "s", now=40.0)
    assert store.get("s").idle_since == 30.0


def test_leases_of_dead_workers_are_dropped(store: _Stores) -> None:
    """Theirs only; what becomes idle by that is idle from now on."""
    for name in ("both", "theirs", "ours"):
        _make_ready(store, name, now=10.0)
    for lease, name, worker in (
        *(("1", "both", "dead"), ("2", "both", "alive")),
        *(("3", "theirs", "dead"), ("4", "theirs", "dead"), ("5", "ours", "alive")),
    ):
        store.acquire_lease(lease, name, worker_id=worker, purpose="client")
    assert store.workers_with_traces() == {"dead", "alive"}

    assert sorted(store.drop_leases_of({"dead"}, now=50.0)) == ["both", "theirs"]

    rows = {row.sandbox_id: (row.lease_count, row.idle_since) for row in store.live()}
    assert rows == {"both": (1, 10.0), "theirs": (0, 50.0), "ours": (1, 10.0)}


def test_adopting_twice_keeps_the_first(store: _Stores) -> None:
    """Two reconciliations may find the same container."""
    assert store.adopt(row_of(state="ready", container_id="c"))
    assert not store.adopt(row_of(state="ready", container_id="d"))
    assert store.get("s").container_id == "c"


def test_ended_sandboxes_are_forgotten_in_time(store: _Stores) -> None:
    """Live ones never."""
    _make_ready(store, "live")
    for name, ended_at in (("old", 100.0), ("new", 300.0)):
        _make_ready(store, name)
        store.mark_ended(name, "deleted", ended_at=ended_at)

    store.forget_ended(before=200.0)

    assert store.get("old") is None
    assert store.get("new") is not None
    assert store.get("live") is not None


_CONTENDER = """
import sys
from pathlib import Path
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.leases import LeaseStore
path, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
database = Database(path)
store, leases = EndRecordStore(database), LeaseStore(database)
print("ready", flush=True)
sys.stdin.readline()
won = []
for number in range(rounds):
    sandbox_id = f"s{number}"
    if name.startswith("delete"):
        success = store.claim_removal(sandbox_id, name, worker_id="w")
    elif name == "cleanup":
        success = store.claim_idle_removal(sandbox_id, idle_since=10.0, worker_id="w")
    else:
        success = leases.acquire_lease(f"{name}-{number}", sandbox_id, worker_id=name,
                                      purpose="client")
    if success:
        won.append(sandbox_id)
print(" ".join(won), flush=True)
"""


def _contend(place: str, names: list[str], rounds: int) -> dict[str, set[str]]:
    """Let processes try the same step on the same sandboxes at the same time; who won which."""
    processes = {name: PreparedPython(_CONTENDER, place, name, str(rounds)) for name in names}
    for process in processes.values():
        assert process.line() == "ready\n"
    for process in processes.values():
        process.say("go")
    return {name: set(process.output(within_s=60).split()) for name, process in processes.items()}


def _make_many_ready(store: _Stores, count: int) -> None:
    """`s0` to the last: the first by the usual steps, the others as it is, in one transaction."""
    _make_ready(store, "s0")

    def copy(connection: Connection) -> None:
        first = dict(
            zip(sandboxes.c.keys(), connection.execute(select(sandboxes)).one(), strict=True)
        )
        others = [
            {**first, "sandbox_id": f"s{n}", "container_id": f"c-s{n}"} for n in range(1, count)
        ]
        connection.execute(insert(sandboxes), others)

    store.database.write(copy)


@pytest.mark.long
def test_of_several_processes_one_claims(store: _Stores, place: str) -> None:
    """Parallel delete in different workers."""
    _make_many_ready(store, 200)

    won = _contend(place, ["delete-a", "delete-b", "delete-c"], 200)

    assert sorted(s for winners in won.values() for s in winners) == sorted(
        f"s{number}" for number in range(200)
    )


@pytest.mark.long
def test_cleanup_and_connect_exclude_each_other_a_thousand_times(
    store: _Stores, place: str
) -> None:
    """Two processes race for each of a thousand sandboxes at its deadline: exactly one wins."""
    _make_many_ready(store, 1000)

    won = _contend(place, ["cleanup", "connect"], 1000)

    assert won["cleanup"] & won["connect"] == set()
    assert won["cleanup"] | won["connect"] == {f"s{number}" for number in range(1000)}
    for row in store.live():
        assert (row.state, row.lease_count) in (("removing", 0), ("ready", 1))


def test_a_lock_held_for_a_while_is_waited_for(file_store: _Stores, path: Path) -> None:
    """A backup, a checkpoint, another worker: writers wait, readers do not."""
    _make_ready(file_store, "s")
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, lambda: locker.execute("ROLLBACK"))
    release.start()
    started = time.monotonic()

    assert file_store.get("s").state == "ready"
    assert time.monotonic() - started < 0.3
    assert file_store.claim_removal("s", "deleted", worker_id="w")

    assert time.monotonic() - started >= 0.4
    release.join()
    locker.close()


def test_who_opens_it_waits_for_who_has_all_of_it(path: Path) -> None:
    """Two workers begin at once: one closes the file for the last time, the other finds it locked
    whole, for reading too, and ended the gateway's start. SQLite's own patience is 2 s."""
    made = Database(path)
    _make_ready(_Stores(made), "s")
    made.close()
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute("PRAGMA locking_mode=EXCLUSIVE")
    locker.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(2.5, locker.close)
    release.start()
    started = time.monotonic()

    opened = Database(path)

    assert time.monotonic() - started >= 2
    assert SandboxStore(opened).get("s").state == "ready"
    opened.close()
    release.join()


def test_a_lock_that_is_never_given_back_is_an_error_in_bounded_time(
    file_store: _Stores, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typed one, and afterwards everything works again."""
    monkeypatch.setattr(database, "LOCK_LIMIT_S", 0.3)
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    started = time.monotonic()

    with pytest.raises(StoreUnavailable):
        _make_ready(file_store, "s")

    assert time.monotonic() - started < 2
    locker.execute("ROLLBACK")
    locker.close()
    _make_ready(file_store, "s")


@pytest.mark.parametrize("content", [b"this is no database, " * 100, b"\x01" * 8192])
def test_a_file_that_is_no_database_is_a_typed_error(path: Path, content: bytes) -> None:
    """At the start, with words, before anything depends on it."""
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(StoreUnavailable, match="not a database"):
        Database(path)


def test_a_directory_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    """Its name is taken by a file."""
    (tmp_path / "data").write_text("")

    with pytest.raises(StoreUnavailable):
        Database(tmp_path / "data" / "gateway.db")


def test_the_directory_is_for_its_owner_only(file_store: _Stores, path: Path) -> None:
    """Ids of sandboxes are capabilities."""
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.long
def test_many_processes_may_open_it_at_once(place: str) -> None:
    """All workers start at the same moment, over a file that does not exist yet."""
    won = _contend(place, ["connect-a", "connect-b", "connect-c", "connect-d"], 1)

    assert set(map(frozenset, won.values())) == {frozenset()}


def test_a_pause_is_noted_from_the_state_that_was_seen(store: _Stores) -> None:
    """What the engine tells of a pause that this gateway is in the middle of does not end it, and
    what another hand froze is not taken for a pause of ours."""
    _make_ready(store, "s")
    assert not store.mark_paused("s", "pausing", since=11.0, by="client")
    assert store.claim_pause("s", worker_id="w")
    assert not store.mark_paused("s", "ready", since=12.0, by="engine")
    assert store.mark_paused("s", "pausing", since=12.0, by="client")
    assert store.paused_among({"s"}) == {"s": 12.0}
    assert store.mark_resumed("s", now=13.0, expires=None)
    assert store.mark_paused("s", "ready", since=14.0, by="engine")


def test_who_came_after_a_pause_is_known(store: _Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client, not a command that is watched, and only as long as it is there."""
    _make_ready(store, "s")
    for lease_id, at, purpose in (("old", 50.0, "client"), ("watch", 70.0, "command")):
        monkeypatch.setattr("gateway.clock.boot_s", lambda at=at: at)
        assert store.acquire_lease(lease_id, "s", worker_id="w", purpose=purpose)
    assert not store.has_clients_since("s", 60.0)
    monkeypatch.setattr("gateway.clock.boot_s", lambda: 61.0)
    assert store.acquire_lease("new", "s", worker_id="w", purpose="client")
    assert store.has_clients_since("s", 60.0)
    store.release_lease("new", "s", now=80.0)
    assert not store.has_clients_since("s", 60.0)


def test_what_a_client_left_running_does_not_use_a_paused_sandbox(store: _Stores) -> None:
    """Its lease stays and counts for a running sandbox; for a paused one idle time begins when
    the client goes."""
    _make_ready(store, "s")
    store.acquire_lease("l", "s", worker_id="w", purpose="client")
    store.claim_pause("s", worker_id="w")
    store.mark_paused("s", "pausing", since=20.0, by="client")
    assert not store.claim_idle_removal("s", idle_since=20.0, worker_id="w")

    store.leave_running("l", "s", now=90.0)

    row = store.get("s")
    assert (row.lease_count, row.client_count, row.idle_since) == (1, 0, 90.0)
    assert store.claim_idle_removal("s", idle_since=90.0, worker_id="w")
