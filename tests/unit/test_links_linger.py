"""A link that nobody uses stays for a while, and never for longer."""

from __future__ import annotations

import gc

import gevent
import pytest

from gateway.errors import AgentMissing
from gateway.link.links import Links


class FakeLink:
    def works_for_the_caller(self) -> None:
        """Nobody's time is counted here."""

    def __init__(self) -> None:
        self.lost = False

    def close(self) -> None:
        self.lost = True


class Dialled:
    """Makes links and counts them."""

    def __init__(self) -> None:
        self.made: list[FakeLink] = []
        self.missing = False

    def __call__(self, container_id: str) -> FakeLink:
        if self.missing:
            raise AgentMissing("no python3")
        self.made.append(FakeLink())
        return self.made[-1]

    @property
    def open(self) -> int:
        return sum(not link.lost for link in self.made)


@pytest.fixture
def dialled() -> Dialled:
    return Dialled()


@pytest.fixture
def links(dialled: Dialled) -> Links:
    return Links(dialled)  # type: ignore[arg-type]


def _use(links: Links, linger_s: float = 0.0, container_id: str = "c1") -> None:
    with links.using(container_id, linger_s):
        links.get(container_id)


def _wait_for_the_end(dialled: Dialled) -> None:
    """Until no link is open, as long as a busy machine may take."""
    with gevent.Timeout(10):
        while dialled.open:
            gevent.sleep(0.01)


def _greenlets() -> int:
    gc.collect()
    return sum(isinstance(o, gevent.Greenlet) and not o.dead for o in gc.get_objects())


def test_without_lingering_it_is_closed_at_once(links: Links, dialled: Dialled) -> None:
    """As ever: an exec and a process stand behind it."""
    _use(links)

    assert dialled.open == 0
    assert not links.alive("c1")


def test_who_comes_back_soon_finds_it(links: Links, dialled: Dialled) -> None:
    """A series of requests makes one link."""
    for _ in range(5):
        _use(links, 5)
        assert links.alive("c1")

    assert len(dialled.made) == 1
    links.close()


def test_it_does_not_outlive_its_time(links: Links, dialled: Dialled) -> None:
    """Counted from the last use."""
    for _ in range(3):
        _use(links, 0.6)
        gevent.sleep(0.3)
    assert dialled.open == 1

    _wait_for_the_end(dialled)

    assert not links.alive("c1")
    _use(links, 0.01)
    assert len(dialled.made) == 2
    _wait_for_the_end(dialled)


def test_it_does_not_end_while_it_is_used(links: Links, dialled: Dialled) -> None:
    """The end that an earlier use has ordered is called off."""
    _use(links, 0.02)
    with links.using("c1"):
        gevent.sleep(0.05)
        assert dialled.open == 1


def test_a_use_that_does_not_linger_does_not_end_it_early(links: Links, dialled: Dialled) -> None:
    """A WebSocket or a watch between two requests."""
    _use(links, 0.3)
    _use(links)
    assert dialled.open == 1

    _wait_for_the_end(dialled)


def test_the_longest_wish_counts(links: Links, dialled: Dialled) -> None:
    """Of uses that overlap."""
    with links.using("c1", 0.6):
        _use(links, 0.01)

    gevent.sleep(0.2)
    assert dialled.open == 1
    _wait_for_the_end(dialled)


@pytest.mark.parametrize("end", ["drop", "close"])
def test_dropping_and_closing_do_not_wait(links: Links, dialled: Dialled, end: str) -> None:
    """The sandbox is deleted, or the process stops."""
    _use(links, 60)
    _use(links, 60, "c2")

    links.drop("c1")
    assert [link.lost for link in dialled.made] == [True, False]
    links.drop("c2") if end == "drop" else links.close()
    assert dialled.open == 0
    links.close()


def test_nothing_lingers_after_the_close(links: Links, dialled: Dialled) -> None:
    """Handlers that end later than that leave nothing behind."""
    with links.using("c1", 60):
        links.close()
        links.get("c1")
    with links.using("c2", 60):
        links.get("c2")

    assert dialled.open == 0


def test_a_new_container_of_the_same_name_is_not_dropped(links: Links, dialled: Dialled) -> None:
    """The end that was ordered for a dropped link must not hit its successor."""
    _use(links, 0.02)
    links.drop("c1")
    with links.using("c1"):
        links.get("c1")
        gevent.sleep(0.05)
        assert dialled.open == 1


def test_a_lost_link_is_made_anew(links: Links, dialled: Dialled) -> None:
    """While it lingers the agent may be killed."""
    _use(links, 60)
    dialled.made[0].close()
    assert not links.alive("c1")

    _use(links, 60)

    assert dialled.open == 1
    links.close()


def test_that_there_is_no_agent_is_remembered_as_long(links: Links, dialled: Dialled) -> None:
    """Finding that out takes as long as making a link."""
    dialled.missing = True
    for _ in range(2):
        with links.using("c1", 60), pytest.raises(AgentMissing):
            links.get("c1")
        dialled.missing = False
    assert dialled.made == []
    links.close()


def test_no_greenlet_is_left(links: Links, dialled: Dialled) -> None:
    """Neither by use after use, nor by drop, close and the end of the time."""
    before = _greenlets()

    for number in range(50):
        _use(links, 60)
        _use(links, 60, f"d{number}")
        _use(links, 0.01, f"e{number}")
    for number in range(25):
        links.drop(f"d{number}")
    gevent.sleep(0.05)
    links.close()
    gevent.sleep(0)

    assert dialled.open == 0
    assert _greenlets() == before
