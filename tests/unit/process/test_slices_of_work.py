"""Long lists leave the worker to others: between their slices, and half of the time."""

from __future__ import annotations

import time
from pathlib import Path

import gevent
import pytest

from gateway.process.slices_of_work import slice_of_work
from gateway.sandboxes.life.event_followers import Followers
from gateway.sandboxes.life.event_history import Lifecycle
from gateway.store.admission import AdmissionStore
from gateway.store.database import Database
from gateway.store.events import EventStore
from gateway.store.room import Limits
from gateway.store.sandboxes import SandboxStore
from tests.support.change_feeds import quiet_feed
from tests.support.rows import row_of


def _work(cpu_s: float) -> None:
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


def test_many_lists_take_turns_and_leave_half() -> None:
    """Ten of them, of ten slices of 2 ms each: somebody else runs after every single slice."""
    done: list[int] = []
    seen: list[int] = []

    def read() -> None:
        for _ in range(10):
            with slice_of_work():
                _work(0.002)
            done.append(1)

    def look() -> None:
        while len(done) < 100:
            seen.append(len(done))
            gevent.sleep(0)

    started = time.monotonic()
    gevent.joinall([gevent.spawn(look), *(gevent.spawn(read) for _ in range(10))], timeout=60)

    assert len(done) == 100
    assert {*range(99)} <= {*seen}
    assert time.monotonic() - started >= 2 * 100 * 0.002


def _lifecycle(database: Database) -> Lifecycle:
    events = EventStore(database)
    followers = Followers(events, quiet_feed(), 10)
    return Lifecycle(events, SandboxStore(database), followers)


@pytest.mark.long
def test_a_page_of_events_is_whole_though_others_run(tmp_path: Path) -> None:
    """A thousand events in slices: in order, none twice, with somebody else between; and what is
    written meanwhile does not disturb it."""
    database = Database(tmp_path / "gateway.db")
    events = EventStore(database)
    AdmissionStore(database).admit(row_of(), Limits(), now=1.0)
    for _ in range(1200):
        events.note("s", "oom")
    ran = 0

    def others() -> None:
        nonlocal ran
        while True:
            ran += 1
            events.note("s", "oom")
            gevent.sleep(0)

    other = gevent.spawn(others)
    try:
        page = _lifecycle(database).since(0, sandbox_id="s", limit=1000)
    finally:
        other.kill()
        database.close()
    assert [event.number for event in page] == list(range(1, 1001))
    assert ran >= 9
