"""Who is admitted, and in which order: one transaction over a real store decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.engine.interface import EngineHost
from gateway.errors import TooManyWaiting
from gateway.sandboxes.create.capacity import Capacity, free_memory_mb, host_limits
from gateway.sandboxes.spec.owner_limits import EVERYBODY, Owner
from gateway.store.admission import Admission, AdmissionStore, Key
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.leases import LeaseStore
from gateway.store.pool import PoolStore
from gateway.store.room import Limits
from gateway.store.sandboxes import SandboxStore
from tests.support.rows import row_of


class Store:
    """The store as the admission_controller uses it; times are 1.0 unless a test says otherwise."""

    def __init__(self, database: Database) -> None:
        self.admission = AdmissionStore(database)
        self.sandboxes = SandboxStore(database)
        self.endings = EndRecordStore(database)
        self.pool = PoolStore(database)
        self.leases = LeaseStore(database)

    def admit(
        self,
        sandbox_id: str,
        limits: Limits | None = None,
        *,
        ticket: int | None = None,
        key: Key | None = None,
        needs_update: bool = False,
        now: float = 1.0,
        **changed: Any,
    ) -> Admission:
        return self.admission.admit(
            row_of(sandbox_id=sandbox_id, **changed),
            limits or Limits(),
            now=now,
            ticket=ticket,
            key=key,
            needs_update=needs_update,
        )

    def join(self, owner: str, *, worker: str = "w", longest: int = 100) -> int | None:
        return self.admission.join_queue(
            owner, worker_id=worker, now=1.0, valid_until=100.0, longest=longest
        )

    def served(self) -> list[str]:
        """The owners of all tickets, in the order in which they get their turns."""
        order = []
        while (ticket := self.admission.next_ticket(now=1.0)) is not None:
            order.append(self.owner_of[ticket])
            self.admission.leave_queue(ticket)
        return order

    def queue(self, *owners: str) -> None:
        self.owner_of = {self.join(owner): owner for owner in owners}


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    database = Database(place)
    yield Store(database)
    database.close()


def _pooled(store: Store, sandbox_id: str, key: str = "k", **changed: Any) -> None:
    store.pool.add_pooling(row_of(sandbox_id=sandbox_id, state="pooling", pool_key=key, **changed))
    assert store.pool.mark_pooled(
        sandbox_id, container_id=f"c-{sandbox_id}", ip_address=None, pid=None
    )


# --- fairness ------------------------------------------------------------------------------------


def test_who_asks_for_much_delays_nobody(store: Store) -> None:
    """A has a hundred tickets when B comes with one: B is served second, not last."""
    store.queue(*["A"] * 99, "B")
    assert store.served()[:3] == ["A", "B", "A"]


def test_one_owner_is_served_in_order(store: Store) -> None:
    """First come, first served, among one's own."""
    tickets = [store.join("A") for _ in range(5)]
    seen = []
    while (ticket := store.admission.next_ticket(now=1.0)) is not None:
        seen.append(ticket)
        store.admission.leave_queue(ticket)
    assert seen == tickets


def test_owners_take_turns(store: Store) -> None:
    """Three with many tickets each: one after the other, however they came."""
    store.queue(*["A"] * 3, *["B"] * 3, *["C"] * 3)
    assert store.served() == ["A", "B", "C"] * 3


def test_an_owner_who_waited_before_has_no_debt(store: Store) -> None:
    """Having been served a hundred times does not put anybody behind for ever."""
    for _ in range(100):
        store.queue("A")
        assert store.served() == ["A"]
    store.queue("B", "B", "A")
    assert store.served()[1] == "A"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=24))
def test_nobody_is_overtaken_more_than_once_by_each_other_owner(
    store: Store, owners: list[str]
) -> None:
    """The bound of fair queueing: before one's n-th ticket no other owner has more than n of
    those that stood in the queue together."""
    store.queue(*owners)
    order = store.served()
    assert sorted(order) == sorted(owners)
    for position, owner in enumerate(order):
        own = order[: position + 1].count(owner)
        for other in set(order) - {owner}:
            assert order[:position].count(other) <= own


# --- the queue -----------------------------------------------------------------------------------


def test_nobody_passes_those_who_wait(store: Store) -> None:
    """There is room, but somebody came first: without a ticket it is full, with the second one
    too."""
    first, second = store.join("A"), store.join("A")
    assert store.admit("s").refused == "full"
    assert store.admit("s", ticket=second).refused == "full"
    assert store.admit("s", ticket=first).row is not None
    assert store.admit("t", ticket=second).row is not None
    assert store.admit("u").row is not None


def test_the_queue_is_bounded(store: Store) -> None:
    """Over all owners; a ticket given back makes room."""
    first = store.join("A", longest=2)
    assert first is not None
    assert store.join("B", longest=2) is not None
    assert store.join("C", longest=2) is None
    store.admission.leave_queue(first)
    store.admission.leave_queue(first)
    assert store.join("C", longest=2) is not None


def test_tickets_expire(store: Store) -> None:
    """Those of a worker that hangs neither block nor count."""
    store.join("A")
    assert store.admission.next_ticket(now=100.0) is not None
    assert store.admission.next_ticket(now=100.1) is None
    assert store.admit("s", now=101.0).row is not None


def test_tickets_go_with_their_worker(store: Store) -> None:
    """A killed worker is known by its tickets alone, and they go with its leases."""
    store.join("A", worker="dead")
    kept = store.join("A", worker="alive")
    assert store.leases.workers_with_traces() == {"dead", "alive"}
    store.leases.drop_leases_of({"dead"}, now=1.0)
    assert store.admission.next_ticket(now=1.0) == kept


def test_there_is_work_while_somebody_waits_or_is_served(store: Store) -> None:
    """The pool is filled afterwards."""
    assert not store.admission.has_work(now=1.0)
    ticket = store.join("A")
    assert store.admission.has_work(now=1.0)
    store.admit("s", ticket=ticket)
    assert store.admission.has_work(now=1.0)
    store.sandboxes.mark_ready("s", container_id="c", ip_address=None, now=1.0)
    assert not store.admission.has_work(now=1.0)


def test_a_ticket_that_fits_passes_one_that_does_not(store: Store) -> None:
    """Over the real tables: A has three of 240 and waits for a fourth; B's small one is served at
    once, with a ticket and without; A's own turn comes when it has room."""
    limits = Limits(memory_mb=930, share_memory_mb=744)
    for number in range(3):
        assert store.admit(f"a{number}", limits, owner="A", memory_mb=240).row is not None
    assert store.admit("a3", limits, owner="A", memory_mb=240).refused == "full"
    large = store.admission.join_queue(
        "A",
        worker_id="w",
        now=1.0,
        valid_until=100.0,
        longest=10,
        memory_mb=240,
        limits=limits,
        wait_s=30.0,
    )
    small = store.admission.join_queue(
        "B", worker_id="w", now=1.0, valid_until=100.0, longest=10, memory_mb=5, wait_s=30.0
    )
    assert store.admission.next_ticket(now=1.0, limits=limits) == small
    assert store.admit("b", limits, owner="B", ticket=small, memory_mb=5).row is not None
    assert store.admit("b2", limits, owner="B", memory_mb=5).row is not None
    assert store.admission.next_ticket(now=29.0, limits=limits) is None
    assert store.admit("a3", limits, owner="A", ticket=large, memory_mb=240).refused == "full"
    store.endings.mark_ended("a0", "deleted", ended_at=1.0)
    assert store.admission.next_ticket(now=1.0, limits=limits) == large
    assert store.admit("a3", limits, owner="A", ticket=large, memory_mb=240).row is not None


def test_only_the_first_ticket_of_an_owner_ages(store: Store) -> None:
    """A hundred tickets are no more able to hold others up than one; the next one begins to age
    when it is the first."""
    limits = Limits(memory_mb=100)
    store.admit("held", limits, owner="B", memory_mb=50)

    def join(owner: str, memory_mb: int, now: float) -> int | None:
        return store.admission.join_queue(
            owner,
            worker_id="w",
            now=now,
            valid_until=1000.0,
            longest=10,
            memory_mb=memory_mb,
            limits=limits,
            wait_s=30.0,
        )

    first, _second = join("A", 60, 0.0), join("A", 60, 0.0)
    modest = join("B", 10, 5.0)
    assert store.admission.next_ticket(now=5.0, limits=limits) == modest
    assert store.admission.next_ticket(now=28.0, limits=limits) is None
    assert first is not None
    store.admission.leave_queue(first, now=29.0)
    assert store.admission.next_ticket(now=30.0, limits=limits) == modest
    assert store.admission.next_ticket(now=38.0, limits=limits) == modest
    assert store.admission.next_ticket(now=57.0, limits=limits) is None


def test_one_owner_cannot_take_the_whole_queue(store: Store) -> None:
    """Beyond its part it is told so at once; others still get in."""

    def join(owner: str) -> int | None:
        return store.admission.join_queue(
            owner, worker_id="w", now=1.0, valid_until=9.0, longest=5, longest_of_owner=4
        )

    assert all(join("A") for _ in range(4))
    with pytest.raises(TooManyWaiting):
        join("A")
    assert join("B") is not None
    assert join("B") is None


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "refused"),
    [
        (Limits(sandboxes=2), "full"),
        (Limits(memory_mb=250), "full"),
        (Limits(of_owner=2), "owner"),
        (Limits(cpus_of_owner=2.5), "owner"),
        (Limits(memory_mb_of_owner=299), "owner"),
    ],
)
def test_each_limit_holds(store: Store, limits: Limits, refused: str) -> None:
    """Two of 100 MB and one core fit; the third does not, until one has ended."""
    assert store.admit("one", limits).row is not None
    assert store.admit("two", limits).row is not None
    assert store.admit("three", limits).refused == refused
    store.endings.mark_ended("one", "deleted", ended_at=1.0)
    assert store.admit("three", limits).row is not None


def test_an_owners_limits_are_its_own(store: Store) -> None:
    """What A has does not count for B; what both have counts for the host."""
    limits = Limits(sandboxes=2, of_owner=1)
    assert store.admit("a", limits, owner="A").row is not None
    assert store.admit("a2", limits, owner="A").refused == "owner"
    assert store.admit("b", limits, owner="B").row is not None
    assert store.admit("c", limits, owner="C").refused == "full"


def test_paused_and_leaving_ones_still_count(store: Store) -> None:
    """Their memory is in use until they have ended."""
    limits = Limits(sandboxes=1)
    store.admit("s", limits)
    store.sandboxes.mark_ready("s", container_id="c", ip_address=None, now=1.0)
    store.sandboxes.mark_paused("s", "ready", since=1.0, by="engine")
    assert store.admit("t", limits).refused == "full"
    store.endings.claim_removal("s", "deleted", worker_id="w")
    assert store.admit("t", limits).refused == "full"


def test_pooled_ones_do_not_count(store: Store) -> None:
    """They are taken, or make room."""
    _pooled(store, "p1")
    _pooled(store, "p2")
    assert store.admit("s", Limits(sandboxes=1)).row is not None
    assert store.admit("t", Limits(sandboxes=1), pool_key="k").refused == "full"


def test_the_operators_number_rules_over_the_hosts_memory() -> None:
    """And an API key's own limit over the one of all keys."""
    host = EngineHost(memory_bytes=1000 << 20, cpus=2, runtimes=frozenset())
    usual = {
        "memory_overcommit": 1.5,
        "memory_reserve_mb": 0,
        "queue_size": 1,
        "queue_wait_s": 1.0,
    }
    by_memory = Capacity(sandboxes=0, per_owner=0, **usual)
    by_number = Capacity(sandboxes=7, per_owner=3, **usual)
    assert host_limits(by_memory, host, EVERYBODY) == Limits(memory_mb=1500)
    assert host_limits(by_number, host, EVERYBODY) == Limits(sandboxes=7, of_owner=3)
    own = Owner("A", max_sandboxes=5, max_cpus=2.0, max_memory_mb=100)
    assert host_limits(by_number, host, own) == Limits(7, None, 5, 2.0, 100)


def test_a_share_holds_only_where_there_are_others() -> None:
    """One key alone has the whole host; what the operator allows a key rules over the share; and
    one sandbox is always possible."""
    host = EngineHost(memory_bytes=1000 << 20, cpus=2, runtimes=frozenset())
    usual = {
        "per_owner": 0,
        "memory_overcommit": 1.5,
        "memory_reserve_mb": 0,
        "queue_size": 1,
        "queue_wait_s": 1.0,
        "share": 0.8,
    }
    by_memory, by_number = Capacity(sandboxes=0, **usual), Capacity(sandboxes=7, **usual)
    one, neighbour = Owner("A"), Owner("A", has_neighbours=True)
    assert host_limits(by_memory, host, one) == Limits(memory_mb=1500)
    assert host_limits(by_memory, host, neighbour) == Limits(memory_mb=1500, share_memory_mb=1200)
    assert host_limits(by_number, host, neighbour) == Limits(sandboxes=7, share_sandboxes=5)
    single = Capacity(sandboxes=1, **usual)
    assert host_limits(single, host, neighbour) == Limits(sandboxes=1, share_sandboxes=1)
    allowed = Owner("A", max_sandboxes=7, max_memory_mb=1500, has_neighbours=True)
    limits = host_limits(by_memory, host, allowed)
    assert (limits.share_sandboxes, limits.share_memory_mb) == (None, None)


def test_free_memory_is_what_the_kernel_calls_available() -> None:
    """Not what is merely unused; unknown is unknown."""
    assert free_memory_mb("MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:  2048000 kB\n") == 2000
    assert free_memory_mb("MemTotal: 9 kB\n") is None


# --- the pool ------------------------------------------------------------------------------------


def test_the_oldest_pooled_one_is_taken_once(store: Store) -> None:
    """With its id and container, and the wishes of whoever takes it."""
    _pooled(store, "young", created_at=2.0)
    _pooled(store, "old", created_at=1.0)
    _pooled(store, "other", key="other", created_at=0.0)

    first = store.admit("x", pool_key="k", created_at=50.0, labels={"a": "b"}, owner="A")
    second = store.admit("y", pool_key="k")
    third = store.admit("z", pool_key="k")

    assert first.is_warm
    assert first.row is not None
    assert (first.row.sandbox_id, first.row.container_id) == ("old", "c-old")
    assert (first.row.state, first.row.created_at) == ("ready", 50.0)
    assert (first.row.labels, first.row.owner) == ({"a": "b"}, "A")
    assert second.row is not None
    assert second.row.sandbox_id == "young"
    assert not third.is_warm
    assert third.row is not None
    assert (third.row.sandbox_id, third.row.state) == ("z", "starting")


def test_one_whose_limits_change_is_starting_until_then(store: Store) -> None:
    """Nobody may use it with limits that it was not meant to have; its worker is known, so that a
    crash in between is undone."""
    _pooled(store, "p")
    taken = store.admit("x", pool_key="k", needs_update=True, worker_id="taker").row
    assert taken is not None
    assert (taken.sandbox_id, taken.state, taken.worker_id) == ("p", "starting", "taker")


def test_without_a_key_the_pool_is_left_alone(store: Store) -> None:
    _pooled(store, "p")
    assert not store.admit("x", pool_key=None).is_warm
    assert [row.sandbox_id for row in store.pool.all()] == ["p"]


def test_what_was_taken_cannot_be_dropped_from_the_pool(store: Store) -> None:
    """The pool's own cleaning up must not end somebody's sandbox."""
    _pooled(store, "p")
    store.admit("x", pool_key="k")
    assert not store.pool.drop("p")
    row = store.sandboxes.get("p")
    assert row is not None
    assert row.state == "ready"


# --- idempotency ---------------------------------------------------------------------------------


def test_a_key_finds_its_first_sandbox(store: Store) -> None:
    """By owner and fingerprint, however full it is by then."""
    key = Key("key", "print")
    assert store.admit("s", Limits(sandboxes=1), key=key, owner="A").row is not None
    assert store.admit("t", Limits(sandboxes=1), key=key, owner="A").existing == "s"
    assert store.admit("t", key=Key("key", "else"), owner="A").refused == "key"
    assert store.admit("t", key=key, owner="B").row is not None


def test_a_key_of_a_taken_one_finds_that(store: Store) -> None:
    _pooled(store, "p")
    store.admit("x", pool_key="k", key=Key("key", "print"))
    assert store.admit("y", pool_key="k", key=Key("key", "print")).existing == "p"


def test_a_key_is_free_again_after_a_failure_only(store: Store) -> None:
    """A sandbox that lived has spent its key, whatever ended it."""
    failed, spent = Key("failed", ""), Key("spent", "")
    store.admit("f", key=failed)
    store.endings.mark_ended("f", "create_failed", ended_at=1.0)
    store.admit("s", key=spent)
    store.endings.mark_ended("s", "idle", ended_at=1.0)
    assert store.admit("n", key=failed).row is not None
    assert store.admit("m", key=spent).existing == "s"


def test_a_refusal_spends_no_key(store: Store) -> None:
    key = Key("key", "")
    assert store.admit("s", Limits(sandboxes=0), key=key).refused == "full"
    assert store.admit("s", Limits(sandboxes=1), key=key).row is not None
