"""Snapshots and holds in the store: one name per owner, limits, whole or nothing. In both
databases."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import SnapshotNameTaken, TooManySnapshots
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.events import EventStore
from gateway.store.holds import HoldStore
from gateway.store.leases import LeaseStore
from gateway.store.sandboxes import SandboxStore
from gateway.store.snapshots import SnapshotRow, SnapshotStore
from tests.support.rows import row_of

USUAL = SnapshotRow(
    snapshot_id="s1",
    state="making",
    kind="kept",
    owner="alice",
    name=None,
    worker_id="maker",
    sandbox_id="box",
    created_at=1.0,
    image="image",
    image_id="sha256:1",
    uid=70000,
    disk_mb=64,
    labels={},
)


@pytest.fixture
def database(place: str) -> Iterator[Database]:
    opened = Database(place)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> SnapshotStore:
    return SnapshotStore(database)


def _begin(store: SnapshotStore, most: int = 100, most_bytes: int = 0, **said: Any) -> list[str]:
    """The ids of those that have to go for it."""
    going = store.begin(replace(USUAL, **said), most=most, most_bytes=most_bytes)
    return [one.snapshot_id for one in going]


def _make(store: SnapshotStore, snapshot_id: str, size_bytes: int = 10, **said: Any) -> None:
    assert _begin(store, snapshot_id=snapshot_id, **said) == []
    assert store.mark_there(snapshot_id, size_bytes=size_bytes, created_at=2.0)


def test_it_is_found_when_it_is_there(store: SnapshotStore) -> None:
    """By id or name, by its owner; not before it is whole, and not once its removal has begun."""
    _begin(store, snapshot_id="a1", name="base")
    assert store.find("a1", owner="alice") is None
    assert store.mark_there("a1", size_bytes=7, created_at=2.0)

    for word in ("a1", "base"):
        found = store.find(word, owner="alice")
        assert found is not None
        assert (found.snapshot_id, found.size_bytes, found.created_at) == ("a1", 7, 2.0)
        assert store.find(word, owner="bob") is None
    assert store.find("a1", owner=None) is not None
    assert store.claim_removal("a1")
    assert not store.claim_removal("a1")
    assert store.find("a1", owner="alice") is None
    store.forget("a1")
    assert store.get("a1") is None


def test_a_name_has_one_snapshot_per_owner(store: SnapshotStore) -> None:
    """From the moment its making begins until its removal does."""
    _begin(store, snapshot_id="a1", name="base")
    with pytest.raises(SnapshotNameTaken):
        _begin(store, snapshot_id="a2", name="base")
    _make(store, "b1", owner="bob", name="base")
    assert store.claim_removal("a1")
    assert _begin(store, snapshot_id="a2", name="base") == []
    assert not store.mark_there("a1", size_bytes=1, created_at=2.0)


def test_of_many_at_once_one_gets_the_name_and_none_is_too_many(place: str) -> None:
    """Whichever worker they ask: each has a connection of its own."""

    def begin(number: int) -> str:
        with closing(Database(place)) as own:
            try:
                _begin(SnapshotStore(own), most=4, snapshot_id=f"n{number}", name=_name(number))
            except (SnapshotNameTaken, TooManySnapshots) as refused:
                return refused.code
            return "begun"

    def _name(number: int) -> str | None:
        return "one" if number % 2 else None

    with closing(Database(place)), ThreadPoolExecutor(8) as threads:
        came = list(threads.map(begin, range(16)))

    assert came.count("begun") == 4
    assert [came[n] for n in range(1, 16, 2)].count("begun") <= 1


@pytest.mark.parametrize(("most", "most_bytes"), [(3, 0), (100, 30)])
def test_the_oldest_checkpoints_make_room(store: SnapshotStore, most: int, most_bytes: int) -> None:
    """By number or by bytes; what somebody asked to keep, or has given a name, stays."""
    _make(store, "kept")
    _make(store, "old", kind="checkpoint")
    _make(store, "new", kind="checkpoint")

    assert _begin(store, most, most_bytes, snapshot_id="x1") == ["old"]
    assert store.mark_there("x1", size_bytes=10, created_at=3.0)
    assert _begin(store, most, most_bytes, snapshot_id="x2") == ["new"]
    assert store.mark_there("x2", size_bytes=10, created_at=3.0)
    with pytest.raises(TooManySnapshots):
        _begin(store, most, most_bytes, snapshot_id="x3")
    assert _begin(store, most, most_bytes, snapshot_id="y", owner="bob") == []


def test_lists_are_paged_and_filtered(store: SnapshotStore) -> None:
    """Oldest first, each once; those that only a fork needs are in none."""
    for number in range(5):
        _begin(store, snapshot_id=f"s{number}", sandbox_id=f"box{number % 2}", labels={"n": "1"})
        store.mark_there(f"s{number}", size_bytes=1, created_at=float(number // 2))
    _make(store, "f", kind="fork")
    _make(store, "theirs", owner="bob")

    first, more = store.those(owner="alice", limit=3)
    rest, no_more = store.those(owner="alice", limit=3, after=first[-1])
    assert [one.snapshot_id for one in [*first, *rest]] == ["s0", "s1", "s2", "s3", "s4"]
    assert (more, no_more) == (True, False)
    of_one = store.those(owner="alice", sandbox_id="box1")[0]
    assert [one.snapshot_id for one in of_one] == ["s1", "s3"]
    assert store.those(owner="alice", labels={"n": "2"}) == ([], False)
    assert len(store.those(owner=None)[0]) == 6


def test_what_a_killed_worker_was_making_goes_and_what_it_made_stays(
    store: SnapshotStore, database: Database
) -> None:
    """A fork's snapshot, too: nobody needs it any more."""
    _make(store, "whole")
    _make(store, "forked", kind="fork")
    _begin(store, snapshot_id="half", name="half")
    _begin(store, snapshot_id="others", worker_id="living")

    assert LeaseStore(database).workers_with_traces() == {"maker", "living"}
    store.leave_those_of({"maker"})

    states = {one.snapshot_id: one.state for one in store.all()}
    assert states == {
        "whole": "there",
        "forked": "removing",
        "half": "removing",
        "others": "making",
    }
    assert _begin(store, snapshot_id="again", name="half") == []


@pytest.fixture
def box(database: Database) -> str:
    SandboxStore(database).adopt(row_of(sandbox_id="box", state="ready", container_id="c"))
    return "box"


@pytest.mark.parametrize("before", ["ready", "paused"])
def test_a_held_sandbox_returns_to_what_it_was(database: Database, box: str, before: str) -> None:
    """Nobody else pauses, resumes or holds it meanwhile, and an idle end does not come."""
    holds, sandboxes = HoldStore(database), SandboxStore(database)
    if before == "paused":
        assert sandboxes.mark_paused(box, "ready", since=10.0, by="client")

    assert holds.claim(box, worker_id="w1") == before
    assert holds.claim(box, worker_id="w2") is None
    assert not sandboxes.claim_pause(box, worker_id="w2")
    assert not sandboxes.mark_resumed(box, now=11.0, expires=None)
    ends = EndRecordStore(database)
    assert not ends.claim_idle_removal(box, idle_since=10.0, worker_id="w2")
    assert not holds.release(box, worker_id="w2")
    assert [row.sandbox_id for row in sandboxes.live()] == [box]

    assert holds.release(box, worker_id="w1")
    row = sandboxes.get(box)
    assert row is not None
    assert (row.state, row.worker_id, row.hold_returns_to) == (before, None, None)


def test_a_restored_sandbox_says_from_what_and_how_often(database: Database, box: str) -> None:
    """So whoever is connected to it, at any worker, learns of it."""
    holds = HoldStore(database)
    assert holds.restored_among({box}) == {}
    for count, snapshot_id in enumerate(("s1", "s1", "s2"), 1):
        assert holds.claim(box, worker_id="w1", restoring=snapshot_id) == "ready"
        assert holds.mark_restored(
            box, snapshot_id, ip_address="10.0.0.9", pid=7, uid=70001, origin="o", now=20.0
        )
        assert holds.restored_among({box, "other"}) == {box: (count, snapshot_id)}

    row = SandboxStore(database).get(box)
    assert row is not None
    assert (row.state, row.pid, row.uid, row.restoring_from) == ("ready", 7, 70001, None)
    assert row.origin == "o"
    events = EventStore(database).since(0, sandbox_id=box, owner=None, limit=10)
    assert [one.event for one in events if one.event == "restored"] == ["restored"] * 3


def test_one_takes_over_a_hold_of_a_killed_worker(database: Database, box: str) -> None:
    """Of several, one; and none after the sandbox was deleted meanwhile."""
    holds = HoldStore(database)
    holds.claim(box, worker_id="w1", restoring="s1")

    assert LeaseStore(database).workers_with_traces() == {"w1"}
    assert holds.take_over(box, worker_id="w2", dead="w1")
    assert not holds.take_over(box, worker_id="w3", dead="w1")
    assert EndRecordStore(database).claim_removal(box, "deleted", worker_id="w4")
    assert not holds.mark_restored(
        box, "s1", ip_address=None, pid=None, uid=1, origin=None, now=20.0
    )
    assert not holds.release(box, worker_id="w2")
