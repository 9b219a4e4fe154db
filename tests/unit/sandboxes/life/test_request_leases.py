"""Leases that requests share: few writes, and every promise of a lease of one's own.

Over real stores, each worker with its own connections; the engine is one that freezes and thaws.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import pytest

from gateway.engine.interface import ContainerInfo, Engine
from gateway.errors import SandboxNotFound, StoreUnavailable
from gateway.process.change_feed import ChangeFeed
from gateway.process.use_marks import SLOTS, UseMarks
from gateway.sandboxes.ending.removal import Removal
from gateway.sandboxes.life.list_and_lease import Lease, Sandboxes
from gateway.sandboxes.life.pause_and_resume import PauseAndResume
from gateway.sandboxes.life.request_leases import STAY_S, RequestLeases
from gateway.sandboxes.life.requests_at_work import RequestsAtWork
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.life.shared_lease import LINGER_S, SHORT_IDLE_S
from gateway.store.admission import AdmissionStore
from gateway.store.census import StoreCensus
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.holds import HoldStore
from gateway.store.leases import Leased, LeaseStore, Stay, Unused
from gateway.store.room import Limits
from gateway.store.rows import SandboxRow
from gateway.store.sandboxes import SandboxStore
from tests.support.change_feeds import quiet_feed
from tests.support.rows import row_of

PAST_LINGER_S = LINGER_S + 0.01


class Clock:
    """Boot time in the test's hands."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FreezingEngine:
    """What pausing needs of an engine."""

    def __init__(self) -> None:
        self.state = "running"

    def pause(self, _container_id: str) -> None:
        self.state = "paused"

    def unpause(self, _container_id: str) -> None:
        self.state = "running"

    def inspect(self, container_id: str) -> Any:
        return ContainerInfo(container_id, self.state, {}, None)


class LeasesThatWait(LeaseStore):
    """Each call lets others go on, before and after, as one does that waits for a lock.

    `fails` many writes are refused.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.fails = 0
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def _wait(self, work: Callable[[], Any]) -> Any:
        self.before()
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("locked")
        done = work()
        self.after()
        return done

    def acquire_lease(
        self, lease_id: str, sandbox_id: str, *, worker_id: str, purpose: str
    ) -> Leased | None:
        take = super().acquire_lease
        return self._wait(lambda: take(lease_id, sandbox_id, worker_id=worker_id, purpose=purpose))

    def leased(self, lease_id: str) -> Leased | None:
        look = super().leased
        return self._wait(lambda: look(lease_id))

    def give_back(self, unused: Iterable[Unused]) -> None:
        give, given = super().give_back, list(unused)
        self._wait(lambda: give(given))

    def count_as_clients(self, stays: Iterable[Stay]) -> dict[str, float]:
        count, counted = super().count_as_clients, list(stays)
        return self._wait(lambda: count(counted))


@dataclass
class Watcher:
    """Keeps what it is given."""

    kept: list[Lease] = field(default_factory=list)

    def keep(self, lease: Lease) -> None:
        self.kept.append(lease)


class Worker:
    """One process's share of the parts that use sandboxes."""

    def __init__(
        self, place: str, marks: Path, name: str, engine: Engine, feed: ChangeFeed
    ) -> None:
        self.writes = 0
        self.database = Database(place, tell=self._count)
        self.store = SandboxStore(self.database)
        self.endings = EndRecordStore(self.database)
        self.leases = LeasesThatWait(self.database)
        self.pausing = PauseAndResume(self.store, engine, name, feed)
        removal = Removal(self.endings, engine, lambda _id: None, lambda _row: None, name)
        self.marks = UseMarks(marks, name)
        at_work = RequestsAtWork(self.leases, self.marks)
        check = SandboxCheck(
            self.store, engine, removal, self.pausing, lambda _id: [], feed, at_work
        )
        self.sandboxes = Sandboxes(
            self.store,
            self.leases,
            engine,
            check,
            self.pausing,
            "i",
            name,
            lambda _id: True,
            HoldStore(self.database),
        )
        self.watcher = Watcher()
        self.requests = RequestLeases(self.leases, self.sandboxes, self.watcher, self.marks, name)

    def _count(self) -> None:
        self.writes += 1

    def row(self, sandbox_id: str = "s") -> SandboxRow:
        row = self.store.get(sandbox_id)
        assert row is not None
        return row

    def status(self) -> str:
        return self.sandboxes.get("s").status

    def claims(self, row: SandboxRow) -> bool:
        """Whether a sandbox that was seen so is removed for idleness."""
        return self.endings.claim_idle_removal(
            row.sandbox_id, idle_since=row.idle_since, worker_id="keeper"
        )


class World:
    """A worker, and another one who sees what the store has."""

    def __init__(self, place: str, marks: Path, clock: Clock) -> None:
        self.clock = clock
        self.engine = FreezingEngine()
        feed = quiet_feed()
        self.here, self.elsewhere = (
            Worker(place, marks, name, self.engine, feed) for name in ("here", "elsewhere")
        )
        self.add("s")

    def add(self, sandbox_id: str, **changed: Any) -> None:
        wanted = row_of(sandbox_id=sandbox_id, idle_since=900.0, **changed)
        assert AdmissionStore(self.here.database).admit(wanted, Limits(), now=1.0).row
        assert self.here.store.mark_ready(
            sandbox_id, container_id=f"c-{sandbox_id}", ip_address=None, now=900.0
        )

    def pass_time(self, seconds: float) -> None:
        """And let each worker look, as it does all the time."""
        self.clock.now += seconds
        self.here.requests.look()
        self.elsewhere.requests.look()

    def request(self, takes_s: float = 0.01) -> None:
        lease = self.here.requests.lease("s")
        self.clock.now += takes_s
        self.here.requests.release(lease)

    def close(self) -> None:
        for worker in (self.here, self.elsewhere):
            worker.requests.close()
            worker.marks.close()
            worker.database.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("gateway.clock.boot_s", clock)
    return clock


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> Iterator[World]:
    world = World(str(tmp_path / "data" / "gateway.db"), tmp_path, clock)
    yield world
    world.close()


@pytest.fixture
def world_of_each(place: str, tmp_path: Path, clock: Clock) -> Iterator[World]:
    """Over each database."""
    world = World(place, tmp_path, clock)
    yield world
    world.close()


def test_requests_that_follow_each_other_write_once(world: World) -> None:
    """Each write wakes every worker, and costs a client who works away half of its time."""
    before = world.here.writes
    for _ in range(20):
        world.request()
        world.pass_time(0.3)
    assert world.here.writes == before + 1

    world.pass_time(PAST_LINGER_S)

    assert world.here.writes == before + 2
    assert world.elsewhere.row().lease_count == 0


def test_the_linger_does_not_show(world: World) -> None:
    """Nobody is connected, and nothing runs: so it says in every worker, and in the metrics."""
    world.request()

    for worker in (world.here, world.elsewhere):
        assert worker.status() == "idle"
        assert worker.row().lease_count == 1
    counted = StoreCensus(world.elsewhere.database).sandboxes_by_state()
    assert (counted["idle"], counted["connected"]) == (1, 0)


def test_a_request_at_work_shows_in_every_worker(world: World) -> None:
    """From its first moment to its last, the first of many and one that shares its lease: a command
    runs, so the sandbox is not idle."""
    for _ in range(2):
        lease = world.here.requests.lease("s")
        for worker in (world.here, world.elsewhere):
            assert worker.status() == "connected"
        world.here.requests.release(lease)
        for worker in (world.here, world.elsewhere):
            assert worker.status() == "idle"


def test_one_of_two_workers_at_work_shows(world: World) -> None:
    """The other one's lease lingers."""
    world.request()
    lease = world.elsewhere.requests.lease("s")
    assert (world.here.status(), world.here.row().lease_count) == ("connected", 2)
    world.elsewhere.requests.release(lease)
    assert world.here.status() == "idle"


def test_a_killed_worker_was_at_work(world: World, tmp_path: Path) -> None:
    """Until its leases are taken over nobody knows what it left running."""
    world.request()
    (tmp_path / "here.uses").unlink()
    assert world.elsewhere.status() == "connected"
    world.elsewhere.leases.drop_leases_of({"here"}, now=world.clock.now)
    assert world.elsewhere.status() == "idle"


def test_beyond_the_marks_nothing_lingers(world: World) -> None:
    """Others could not tell it from one at work. A mark that is given back serves again."""
    marks = [world.here.marks.take() for _ in range(SLOTS)]
    lease = world.here.requests.lease("s")
    assert world.elsewhere.status() == "connected"
    world.here.requests.release(lease)
    assert world.elsewhere.row().lease_count == 0
    marks[7].give_back()
    marks[7].give_back()
    world.request()
    assert (world.elsewhere.row().lease_count, world.elsewhere.status()) == (1, "idle")
    world.pass_time(PAST_LINGER_S)
    assert world.here.marks.take().slot == 7


def test_idle_time_begins_with_the_end_of_the_last_request(world_of_each: World) -> None:
    """Not when the lease is given back, and not with an earlier end."""
    world = world_of_each
    world.request()
    world.pass_time(0.5)
    world.request(takes_s=0.02)
    ended = world.clock.now
    world.pass_time(PAST_LINGER_S)

    assert world.elsewhere.row().idle_since == ended


@pytest.mark.parametrize("shares", [True, False])
def test_a_later_use_elsewhere_counts(world_of_each: World, shares: bool) -> None:
    """What this worker gives back last is not what was used last."""
    world = world_of_each
    uses: Any = world.elsewhere.requests if shares else world.elsewhere.sandboxes
    world.request()
    world.clock.now += 0.5
    uses.release(uses.lease("s"))
    used = world.clock.now
    world.clock.now += PAST_LINGER_S
    world.elsewhere.requests.look()
    assert world.elsewhere.row().lease_count == 1
    world.here.requests.look()

    row = world.elsewhere.row()
    assert (row.lease_count, row.idle_since) == (0, used)


@pytest.mark.parametrize("is_over", [False, True])
def test_cleanup_takes_nothing_that_is_in_use(world: World, is_over: bool) -> None:
    """Its row was read before the request came: the claim must lose, while the request works and
    after it."""
    seen = world.elsewhere.row()
    lease = world.here.requests.lease("s")
    assert not world.elsewhere.claims(seen)
    assert not world.elsewhere.pausing.pause_idle(seen)
    if is_over:
        world.here.requests.release(lease)
        assert not world.elsewhere.claims(seen)
        world.pass_time(PAST_LINGER_S)
    assert not world.elsewhere.claims(seen)
    assert world.elsewhere.claims(world.elsewhere.row()) == is_over


@pytest.mark.parametrize("state", ["ready", "paused"])
def test_a_request_keeps_a_paused_sandbox_too(world: World, state: str) -> None:
    """It comes to be resumed, and must not be removed between."""
    if state == "paused":
        world.elsewhere.pausing.pause(world.elsewhere.row())
    seen = world.elsewhere.row()
    assert seen.state == state
    taken = world.here.leases.acquire_lease("r", "s", worker_id="here", purpose="request")
    assert taken is not None

    assert not world.elsewhere.claims(seen)


def test_a_pause_is_not_held_up_by_the_linger_and_the_next_request_resumes(world: World) -> None:
    """Nobody uses it, so nobody is asked."""
    world.request()
    world.elsewhere.pausing.pause(world.elsewhere.row())
    assert (world.engine.state, world.elsewhere.status()) == ("paused", "paused")
    world.pass_time(PAST_LINGER_S)
    assert world.engine.state == "paused"

    world.elsewhere.pausing.resume("s")
    world.request()
    world.elsewhere.pausing.pause(world.elsewhere.row())
    world.request()
    assert (world.engine.state, world.elsewhere.row().state) == ("running", "ready")


def test_a_paused_sandbox_is_idle_since_its_pause(world: World) -> None:
    """The lease that is given back afterwards was used before."""
    world.request()
    world.clock.now += 0.2
    world.elsewhere.pausing.pause(world.elsewhere.row())
    paused_at = world.clock.now
    world.pass_time(PAST_LINGER_S)

    assert world.elsewhere.row().idle_since == paused_at


def test_a_removal_is_not_held_up_by_the_linger_and_the_next_request_finds_nothing(
    world: World,
) -> None:
    """The lease in hand must not be trusted: the store knows."""
    world.request()
    held = world.here.requests.lease("s")
    assert world.elsewhere.endings.claim_removal("s", "deleted", worker_id="elsewhere")
    with pytest.raises(SandboxNotFound):
        world.here.requests.lease("s")
    assert world.elsewhere.endings.mark_ended("s", "deleted", ended_at=1.0)
    with pytest.raises(SandboxNotFound):
        world.here.requests.lease("s")
    world.here.requests.release(held)
    world.pass_time(PAST_LINGER_S)

    assert world.elsewhere.row().idle_since == 900.0


def test_after_a_removal_that_was_given_up_requests_are_served_again(world: World) -> None:
    """With a lease that counts."""
    world.request()
    world.elsewhere.endings.claim_removal("s", "deleted", worker_id="elsewhere")
    with pytest.raises(SandboxNotFound):
        world.here.requests.lease("s")
    world.elsewhere.endings.give_up_removal("s")
    seen = world.elsewhere.row()
    world.here.requests.lease("s")

    assert not world.elsewhere.claims(seen)


def test_a_request_that_takes_long_shows_and_is_given_back_at_once(world: World) -> None:
    """As a client's does: `connected` while it works, `idle` when it is answered."""
    lease = world.here.requests.lease("s")
    assert world.elsewhere.status() == "connected"
    world.pass_time(2 * STAY_S)
    assert world.elsewhere.status() == "connected"
    world.here.requests.release(lease)

    row = world.elsewhere.row()
    assert (row.lease_count, row.idle_since) == (0, world.clock.now)
    assert world.elsewhere.status() == "idle"


def test_one_that_takes_long_beside_short_ones_shows_until_all_are_over(
    world_of_each: World,
) -> None:
    """They share one lease."""
    world = world_of_each
    long = world.here.requests.lease("s")
    world.pass_time(2 * STAY_S)
    short = world.here.requests.lease("s")
    world.here.requests.release(long)
    assert world.elsewhere.status() == "connected"
    world.here.requests.release(short)
    assert world.elsewhere.row().lease_count == 0


def test_where_idle_time_is_short_nothing_lingers(world: World) -> None:
    """A sandbox must not outlive its time by as much again."""
    world.add("brief", idle_timeout_s=SHORT_IDLE_S / 2)
    lease = world.here.requests.lease("brief")
    world.here.requests.release(lease)

    assert world.elsewhere.row("brief").lease_count == 0


def test_releasing_twice_counts_once(world: World) -> None:
    """Whoever uses it beside stays in use."""
    first, second = world.here.requests.lease("s"), world.here.requests.lease("s")
    world.here.requests.release(first)
    world.here.requests.release(first)
    seen = world.elsewhere.row()
    world.pass_time(PAST_LINGER_S)

    assert not world.elsewhere.claims(seen)
    world.here.requests.release(second)


def test_one_that_comes_while_the_lease_is_given_back_is_never_without(world: World) -> None:
    """The store is waited for: whoever joins a lease then would lose it."""
    came: list[Any] = []

    def come() -> None:
        world.here.leases.before = lambda: None
        came.append(world.here.requests.lease("s"))

    world.request()
    world.here.leases.before = come
    world.pass_time(PAST_LINGER_S)

    assert len(came) == 1
    assert world.elsewhere.row().lease_count == 1
    assert not world.elsewhere.claims(world.elsewhere.row())


def test_the_lease_is_not_given_back_while_one_joins(world: World) -> None:
    """It asks the store how the sandbox is, and time passes."""
    world.request()
    looked: list[int] = []

    def pass_time() -> None:
        world.here.leases.before = lambda: None
        world.pass_time(PAST_LINGER_S)
        looked.append(world.elsewhere.row().lease_count)

    world.here.leases.before = pass_time
    lease = world.here.requests.lease("s")

    assert looked == [1]
    assert not world.elsewhere.claims(world.elsewhere.row())
    world.here.requests.release(lease)


def test_one_that_ends_while_it_is_made_to_show_is_given_back(world: World) -> None:
    """Else a sandbox would be `connected` for the linger, or for ever."""
    lease = world.here.requests.lease("s")
    world.here.leases.before = lambda: world.here.requests.release(lease)
    world.pass_time(2 * STAY_S)

    assert world.elsewhere.row().lease_count == 0


def test_a_store_that_does_not_answer_gets_its_leases_back_later(world: World) -> None:
    """And nobody is told of an error for it."""
    world.request()
    ended = world.clock.now
    world.here.leases.fails = 2
    world.pass_time(PAST_LINGER_S)
    world.pass_time(0.1)
    assert world.elsewhere.row().lease_count == 1
    world.pass_time(0.1)

    row = world.elsewhere.row()
    assert (row.lease_count, row.idle_since) == (0, ended)


def test_what_a_request_leaves_running_has_a_lease_that_shows(world: World) -> None:
    """At once, and without a moment between the two leases."""
    lease = world.here.requests.lease("s")
    world.here.requests.keep(lease)
    assert world.elsewhere.status() == "connected"
    assert [(one.sandbox_id, one.container_id) for one in world.here.watcher.kept] == [("s", "c-s")]
    world.pass_time(PAST_LINGER_S)
    assert world.elsewhere.row().lease_count == 1
    world.here.sandboxes.release(world.here.watcher.kept[0])
    assert world.elsewhere.row().lease_count == 0


def test_what_a_request_leaves_running_is_noted_when_the_store_answers(world: World) -> None:
    """Until then the request's own lease stays."""
    lease = world.here.requests.lease("s")
    world.here.leases.fails = 1
    world.here.requests.keep(lease)
    assert world.elsewhere.row().lease_count == 1
    world.pass_time(0.05)

    assert len(world.here.watcher.kept) == 1
    assert world.elsewhere.status() == "connected"


@pytest.mark.parametrize("came_after", [True, False])
def test_a_pause_by_another_hand_gives_way_to_who_came_after_it(
    world: World, came_after: bool
) -> None:
    """The request came when the store did not know of the pause yet: it would wait for ever."""
    paused_at = world.clock.now + (-1 if came_after else 0.01)
    world.here.requests.lease("s")
    world.engine.state = "paused"
    world.elsewhere.pausing.follow_engine(world.elsewhere.row(), "paused", since=paused_at)
    assert world.engine.state == "paused"
    world.pass_time(2 * STAY_S)
    gevent.sleep(0)
    gevent.wait(timeout=1)

    assert world.engine.state == ("running" if came_after else "paused")


def test_a_pause_by_another_hand_is_undone_too_if_the_request_is_known_first(
    world_of_each: World,
) -> None:
    """Whichever of the two the store hears of first."""
    world = world_of_each
    paused_at = world.clock.now - 0.01
    world.here.requests.lease("s")
    world.engine.state = "paused"
    world.pass_time(2 * STAY_S)
    world.elsewhere.pausing.follow_engine(world.elsewhere.row(), "paused", since=paused_at)

    assert world.engine.state == "running"


def test_leases_of_a_killed_worker_are_taken_over(world: World) -> None:
    """Those that linger, too: what runs may run on."""
    world.request()
    assert world.elsewhere.leases.workers_with_traces() == {"here"}
    assert world.elsewhere.leases.sandboxes_of({"here"}) == ["s"]
    world.elsewhere.leases.drop_leases_of({"here"}, now=world.clock.now)
    assert world.elsewhere.row().lease_count == 0

    seen = world.elsewhere.row()
    world.request()  # it was not dead
    assert not world.elsewhere.claims(seen)


def test_a_worker_that_stops_gives_back_what_lingers(world: World) -> None:
    """So that nobody has to take it over; what ends after it is given back at once."""
    world.add("t")
    late = world.here.requests.lease("t")
    world.request()
    ended = world.clock.now
    world.here.requests.close()
    world.here.requests.close()
    assert (world.elsewhere.row().lease_count, world.elsewhere.row().idle_since) == (0, ended)
    world.here.requests.release(late)
    assert world.elsewhere.row("t").lease_count == 0


def test_it_is_looked_without_being_told(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a greenlet that sleeps while there is nothing to look for."""
    monkeypatch.setattr("gateway.sandboxes.life.request_leases.LOOK_S", 0.001)
    world.here.requests.start()
    for _ in range(2):
        world.request()
        clock.now += PAST_LINGER_S
        with gevent.Timeout(5):
            while world.elsewhere.row().lease_count:
                gevent.sleep(0.001)


@pytest.mark.parametrize("seed", range(4))
def test_whoever_uses_it_is_seen_by_cleanup_whatever_comes_between(world: World, seed: int) -> None:
    """Two workers, requests of all lengths, a store that is waited for at every step: whenever a
    request works, the store has a lease, and at the end it has none and knows the last end."""
    chance = random.Random(seed)
    working = 0
    last_end = 0.0
    workers_are_done = False

    def wait() -> None:
        gevent.sleep(chance.choice([0, 0, 0.0005]))

    def work(worker: Worker) -> None:
        nonlocal working, last_end
        for _ in range(10):
            world.clock.now += chance.choice([0.0, STAY_S / 3, LINGER_S])
            lease = worker.requests.lease("s")
            working += 1
            for _ in range(chance.randrange(3)):
                wait()
            working -= 1
            last_end = world.clock.now
            worker.requests.release(lease)
            wait()

    def clean_up() -> None:
        while not workers_are_done:
            seen = world.elsewhere.row()
            gevent.sleep(0)
            if working:
                assert not world.elsewhere.claims(seen), "it was in use"
                assert world.elsewhere.row().lease_count
            world.here.requests.look()
            world.elsewhere.requests.look()
            gevent.sleep(0.0005)

    for worker in (world.here, world.elsewhere):
        worker.leases.before = worker.leases.after = wait
    keeper = gevent.spawn(clean_up)
    with gevent.Timeout(60):
        workers = [world.here, world.here, world.here, world.elsewhere]
        gevent.joinall([gevent.spawn(work, worker) for worker in workers], raise_error=True)
        workers_are_done = True
        keeper.get()
    for worker in (world.here, world.elsewhere):
        worker.leases.before = worker.leases.after = lambda: None
    world.pass_time(PAST_LINGER_S)

    row = world.elsewhere.row()
    assert (row.lease_count, row.idle_since) == (0, last_end)
