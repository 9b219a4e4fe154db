"""An agent whose links do not last is dialled more and more slowly."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from gateway.errors import AgentUnavailable, EngineUnavailable, GatewayError
from gateway.link import redial as module
from gateway.link.links import Links
from gateway.link.redial import FREE, LONGEST_WAIT_S, Redial


class _Link:
    def __init__(self, lost: bool) -> None:
        self.lost = lost

    def close(self) -> None:
        self.lost = True


class _Dialler:
    def __init__(self, error: GatewayError | None = None, *, lost: bool = True) -> None:
        self.times = 0
        self._error = error
        self._lost = lost

    def __call__(self, container_id: str) -> Any:
        self.times += 1
        if self._error is not None:
            raise self._error
        return _Link(self._lost)


def _dials_within(links: Links, dial: _Dialler, seconds: float) -> int:
    with gevent.Timeout(seconds, False):
        while True:
            with links.using("c"):
                try:
                    links.get("c")
                except GatewayError:
                    pass
            gevent.sleep(0)
    return dial.times


@pytest.mark.parametrize("error", [None, AgentUnavailable("not an agent")])
def test_links_that_break_at_once_are_not_made_all_the_time(error: GatewayError | None) -> None:
    """Whoever asks, and however the last one went: an agent that hangs up, and one that says
    nonsense."""
    dial = _Dialler(error)

    assert _dials_within(Links(dial), dial, 0.5) <= FREE + 4


@pytest.mark.parametrize("error", [None, EngineUnavailable("it is being restarted")])
def test_what_is_no_fault_of_the_agent_does_not_slow_it_down(error: GatewayError | None) -> None:
    """Links that were good until nobody wanted them, and an engine that is away for a while."""
    dial = _Dialler(error, lost=False)

    assert _dials_within(Links(dial), dial, 0.2) > 5 * FREE


def test_the_wait_grows_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never beyond its longest, never below nothing; and forgotten after a quiet while."""
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    redial, waits = Redial(), []
    for _ in range(FREE + 40):
        waits.append(redial.wait_s("c"))
        now += waits[-1]
        redial.dialled("c")

    assert waits[:FREE] == [0.0] * FREE
    assert [round(wait, 6) for wait in waits] == sorted(round(wait, 6) for wait in waits)
    assert waits[-1] == pytest.approx(LONGEST_WAIT_S)
    assert redial.wait_s("another") == 0
    now += 60
    redial.dialled("c")
    assert redial.wait_s("c") == 0


def test_containers_are_forgotten_when_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sandbox would otherwise leave something behind."""
    monkeypatch.setattr(module, "REMEMBERED", 3)
    redial = Redial()
    for number in range(10):
        for _ in range(FREE):
            redial.dialled(f"c{number}")

    assert [redial.wait_s(f"c{n}") > 0 for n in range(10)] == [False] * 7 + [True] * 3
