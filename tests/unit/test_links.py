"""At most one link per container and process, made once, open as long as it is used."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import gevent
import pytest

from gateway.errors import AgentMissing, AgentUnavailable
from gateway.link.links import Links


class _FakeLink:
    """As much of a link as `Links` looks at."""

    def __init__(self) -> None:
        self.lost = False

    def close(self) -> None:
        self.lost = True


class _Dialler:
    """Makes links, slowly, and counts. `errors` are raised first, one per attempt."""

    def __init__(self, *errors: Exception) -> None:
        self.made: list[_FakeLink] = []
        self.dialled: Counter[str] = Counter()
        self._errors = list(errors)

    def __call__(self, container_id: str) -> Any:
        self.dialled[container_id] += 1
        gevent.sleep(0.01)
        if self._errors:
            raise self._errors.pop(0)
        self.made.append(_FakeLink())
        return self.made[-1]


def _get_all(links: Links, container_id: str, count: int) -> list[Any]:
    greenlets = [gevent.spawn(links.get, container_id) for _ in range(count)]
    gevent.joinall(greenlets, timeout=5)
    return [greenlet.value or greenlet.exception for greenlet in greenlets]


def test_many_at_once_share_one_attempt() -> None:
    """A hundred commands that arrive together must not start a hundred docker execs."""
    dial = _Dialler()
    links = Links(dial)

    with links.using("c"):
        found = _get_all(links, "c", 100)

    assert set(found) == {dial.made[0]}
    assert dial.dialled == {"c": 1}


def test_containers_do_not_wait_for_each_other() -> None:
    """One that cannot be reached would hold up all."""
    dial = _Dialler()
    links = Links(dial)
    with links.using("a"), links.using("b"), gevent.Timeout(1):
        gevent.joinall([gevent.spawn(links.get, name) for name in "ab"])

    assert dial.dialled == {"a": 1, "b": 1}


def test_a_lost_link_is_made_anew_once() -> None:
    """By whoever asks next, all others share it."""
    dial = _Dialler()
    links = Links(dial)
    with links.using("c"):
        links.get("c").close()
        assert not links.alive("c")

        found = _get_all(links, "c", 10)

        assert set(found) == {dial.made[1]}
        assert links.alive("c")
    assert dial.dialled["c"] == 2


def test_a_failure_is_not_remembered() -> None:
    """The next one tries again; an attempt that failed is nobody's link."""
    dial = _Dialler(AgentUnavailable("not now"))
    links = Links(dial)
    with links.using("c"):
        with pytest.raises(AgentUnavailable):
            links.get("c")

        assert links.get("c") is dial.made[0]


def test_many_at_once_share_a_failure_too() -> None:
    """An agent that does not answer costs 15 s per attempt: ten commands that wait for it must
    not try one after the other."""
    dial = _Dialler(*(AgentUnavailable("silent") for _ in range(10)))
    links = Links(dial)
    with links.using("c"):
        found = _get_all(links, "c", 10)

    assert {type(error) for error in found} == {AgentUnavailable}
    assert dial.dialled["c"] == 1


def test_a_missing_python_is_remembered_as_long_as_the_container_is_used() -> None:
    """An image does not grow python3; each command would pay for finding out again."""
    dial = _Dialler(AgentMissing("no python3"))
    links = Links(dial)
    with links.using("c"):
        for _ in range(5):
            with pytest.raises(AgentMissing):
                links.get("c")
        assert dial.dialled["c"] == 1
    with links.using("c"):
        assert links.get("c") is dial.made[0]


def test_the_last_user_closes_the_link() -> None:
    """A process in the sandbox stands behind each link."""
    links = Links(_Dialler())
    with links.using("c"):
        with links.using("c"):
            link = links.get("c")
        assert not link.lost
    assert link.lost
    assert not links.alive("c")


def test_a_link_that_is_dropped_while_it_is_made_does_not_stay_open() -> None:
    """The sandbox was deleted in between."""
    dial = _Dialler()
    links = Links(dial)
    with links.using("c"):
        asking = gevent.spawn(links.get, "c")
        gevent.sleep(0)
        links.drop("c")
        asking.join(timeout=1)

    assert dial.made[0].lost


def test_a_new_user_after_a_drop_gets_a_link_of_their_own() -> None:
    """The old user's leaving must not close it."""
    links = Links(_Dialler())
    old = links.using("c")
    old.__enter__()
    links.drop("c")
    with links.using("c"):
        link = links.get("c")
        old.__exit__(None, None, None)
        assert not link.lost
    assert link.lost


def test_close_closes_all_and_may_be_repeated() -> None:
    """At the end of the process."""
    links = Links(_Dialler())
    with links.using("a"), links.using("b"):
        made = [links.get("a"), links.get("b")]
        links.close()
        links.close()
        assert all(link.lost for link in made)


def test_who_still_uses_a_container_gets_a_new_link_after_a_drop() -> None:
    """A restored sandbox has another agent, and the clients that were connected to it before are
    the ones who ask for it: each link of theirs was closed as soon as it was made."""
    dial = _Dialler()
    links = Links(dial)
    with links.using("c"):
        first = links.get("c")
        links.drop("c")
        assert first.lost
        assert not links.alive("c")

        second = links.get("c")

        assert not second.lost
        assert links.alive("c")
    assert second.lost
    assert not links.alive("c")


@pytest.mark.parametrize("users", [0, 1])
def test_a_link_that_is_dropped_while_it_is_made_is_closed(users: int) -> None:
    """It may lead to what was there before. Whoever waits for it finds it lost, and asks again."""
    dial = _Dialler()
    links = Links(dial)
    with ExitStack() as held:
        if users:
            held.enter_context(links.using("c"))
        waiting = gevent.spawn(links.get, "c")
        gevent.sleep(0)
        links.drop("c")

        assert waiting.get(timeout=5).lost
        assert links.get("c").lost == (users == 0)


def test_after_the_end_no_link_is_kept() -> None:
    """Also for those who are still inside."""
    links = Links(_Dialler())
    with links.using("c"):
        links.close()

        assert links.get("c").lost
