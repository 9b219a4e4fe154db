"""Events reach those who follow them, once and in order, for the price of one reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import gevent
import pytest

from gateway.errors import TooManyFollowers
from gateway.process.change_feed import ChangeFeed
from gateway.process.change_signal import ChangeSignal
from gateway.sandboxes.life import event_followers as following
from gateway.sandboxes.life.event_followers import Followers
from gateway.sandboxes.life.event_history import Lifecycle
from gateway.store.admission import AdmissionStore
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.events import EventRow, EventStore
from gateway.store.room import Limits
from gateway.store.sandboxes import SandboxStore
from tests.support.rows import row_of


def _soon(predicate: Callable[[], object], within_s: float = 20.0) -> None:
    """As `tests.support.eventually`, but greenlets run meanwhile."""
    with gevent.Timeout(within_s, AssertionError(f"not within {within_s:g} s")):
        while not predicate():
            gevent.sleep(0.01)


class CountedEvents(EventStore):
    """Counts how often the store is read."""

    reads = 0

    def since(
        self, number: int, *, sandbox_id: str | None, owner: str | None, limit: int
    ) -> list[EventRow]:
        self.reads += 1
        return super().since(number, sandbox_id=sandbox_id, owner=owner, limit=limit)


class World:
    """One worker that follows, and another one that writes."""

    def __init__(self, path: Path) -> None:
        self.signal, self.signal_elsewhere = (ChangeSignal(path.parent / "changes") for _ in "ab")
        self.here = Database(path, tell=self.signal.send)
        self.elsewhere = Database(path, tell=self.signal_elsewhere.send)
        self.events = CountedEvents(self.here)
        self.feed = ChangeFeed(self.here.version, self.signal)
        self.lifecycle = Lifecycle(
            self.events, SandboxStore(self.here), Followers(self.events, self.feed, 700)
        )
        self.writer = EventStore(self.elsewhere)
        self.greenlets: list[gevent.Greenlet] = []
        for sandbox_id, owner in (("a", "A"), ("b", "B")):
            AdmissionStore(self.here).admit(
                row_of(sandbox_id=sandbox_id, owner=owner), Limits(), now=1.0
            )

    def follow(self, sandbox_id: str | None, owner: str | None) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []
        start = self.events.last_number()

        def read() -> None:
            for events in self.lifecycle.follow(start, sandbox_id=sandbox_id, owner=owner):
                seen.extend((event.sandbox_id, event.facts.get("n", -1)) for event in events)

        self.greenlets.append(gevent.spawn(read))
        return seen


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "gateway.db")
    yield made
    gevent.killall(made.greenlets)
    made.here.close()
    made.elsewhere.close()
    made.signal.close()
    made.signal_elsewhere.close()


@pytest.mark.long
def test_six_hundred_followers_read_as_often_as_one(world: World) -> None:
    """Each gets what concerns it, from another worker and from this one, in order; the store is
    read a few times, not some thousands of times."""
    seen = [world.follow(None, "A") for _ in range(300)]
    seen += [world.follow("a", "A") for _ in range(299)]
    others = world.follow(None, "B")
    gevent.sleep(0)
    _soon(lambda: world.events.reads >= 600 and world.feed.mark > 0)
    before = world.events.reads
    for n in range(20):
        (world.writer if n % 2 else world.events).note("a", "oom", n=n)
    world.writer.note("b", "oom", n=99)
    expected = [("a", n) for n in range(20)]

    _soon(lambda: all(one == expected for one in seen) and others == [("b", 99)])

    assert world.events.reads - before < 10


def test_a_follower_of_all_sees_everybodys(world: World) -> None:
    """Without keys there is no owner to go by."""
    seen = world.follow(None, None)
    gevent.sleep(0)
    for n, sandbox_id in enumerate("abab"):
        world.writer.note(sandbox_id, "oom", n=n)
    _soon(lambda: seen == [("a", 0), ("b", 1), ("a", 2), ("b", 3)])


def test_who_is_far_behind_misses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than is remembered: the rest comes from the store."""
    monkeypatch.setattr(following, "REMEMBERED", 1000)
    seen = world.follow(None, "A")
    gevent.sleep(0)
    _soon(lambda: world.feed.mark > 0)
    for n in range(1500):
        world.writer.note("a", "oom", n=n)
    _soon(lambda: len(seen) == 1500, within_s=30)
    assert seen == [("a", n) for n in range(1500)]


def test_the_end_of_a_sandbox_ends_its_followers(world: World) -> None:
    """With its last event, whichever worker ended it, and nothing goes on looking."""
    EndRecordStore(world.elsewhere).mark_ended("b", "idle", ended_at=1.0)
    seen = [world.follow("a", "A") for _ in range(20)]
    gevent.sleep(0)
    EndRecordStore(world.elsewhere).mark_ended("a", "idle", ended_at=2.0)

    _soon(lambda: all(one.ready() for one in world.greenlets))

    assert all(len(one) == 1 for one in seen)
    _soon(lambda: world.lifecycle._followers._reader is None, within_s=15)


def test_a_place_is_given_back(world: World) -> None:
    """However following ends; each owner has its own."""
    followers = Followers(world.events, world.feed, 2)
    with ExitStack() as held:
        for owner in ("A", "A", "B"):
            held.enter_context(followers.place_of(owner))
        with pytest.raises(TooManyFollowers):
            held.enter_context(followers.place_of("A"))
    with followers.place_of("A"), followers.place_of("A"):
        pass


def test_a_change_is_seen_whoever_made_it(world: World) -> None:
    """By this process, and by another one; without one the wait is over in time."""
    for writer in (world.events, world.writer, world.events):
        world.feed.wait_after(world.feed.mark, 0.2)
        mark = world.feed.mark
        assert not world.feed.wait_after(mark, 0.2)
        later = gevent.spawn_later(0.05, writer.note, "a", "oom")
        assert world.feed.wait_after(mark, 5.0)
        later.join()
        assert world.feed.wait_after(mark, 0.0), "who comes later knows that it was"
