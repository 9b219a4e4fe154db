"""One look for many who ask, and none while the last one is recent."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from gateway.errors import EngineUnavailable
from gateway.health.recent_answer import Recent


class Thing:
    """Counts how often it is looked at."""

    def __init__(self) -> None:
        self.looks = 0
        self.now = 0.0
        self.gate = Event()
        self.gate.set()
        self.failure: Exception | None = None

    def look(self) -> int:
        self.looks += 1
        self.gate.wait(5)
        if self.failure is not None:
            raise self.failure
        return self.looks


@pytest.fixture
def thing() -> Thing:
    return Thing()


@pytest.fixture
def recent(thing: Thing) -> Recent[int]:
    """Odd numbers count for ten seconds, even ones for one."""
    return Recent(thing.look, lambda found: 10 if found % 2 else 1, lambda: thing.now)


def test_what_was_found_counts_as_long_as_it_says(thing: Thing, recent: Recent[int]) -> None:
    """What is bad for a shorter time than what is good."""
    assert [recent.get() for _ in range(5)] == [1] * 5
    thing.now = 9.9
    assert recent.get() == 1
    thing.now = 10.0
    assert recent.get() == 2
    thing.now = 11.0
    assert recent.get() == 3


def test_all_who_ask_meanwhile_get_the_same_look(thing: Thing, recent: Recent[int]) -> None:
    """However many they are; and one who gives up takes nothing from the others."""
    thing.gate.clear()
    asking = [gevent.spawn(recent.get) for _ in range(20)]
    gevent.sleep(0)
    asking[0].kill()
    thing.gate.set()
    gevent.joinall(asking[1:], raise_error=True)

    assert [one.value for one in asking[1:]] == [1] * 19
    assert thing.looks == 1


def test_a_failure_reaches_all_and_is_not_kept(thing: Thing, recent: Recent[int]) -> None:
    """The next one looks again."""
    thing.failure = EngineUnavailable()
    thing.gate.clear()
    asking = [gevent.spawn(recent.get) for _ in range(3)]
    gevent.sleep(0)
    thing.gate.set()
    gevent.joinall(asking)

    assert [type(one.exception) for one in asking] == [EngineUnavailable] * 3
    assert thing.looks == 1
    thing.failure = None
    assert recent.get() == 2
