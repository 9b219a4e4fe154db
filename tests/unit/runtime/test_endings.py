"""The end of a worker process: in which order, and what one failure does to the rest."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from gateway.runtime.endings import Phase


class Recorded:
    """A part that writes down that it was closed, and fails if it is told to."""

    def __init__(self, name: str, closed: list[str], failure: BaseException | None = None) -> None:
        self._name = name
        self._closed = closed
        self._failure = failure

    def close(self) -> None:
        self._closed.append(self._name)
        if self._failure is not None:
            raise self._failure


def test_what_was_built_last_is_closed_first() -> None:
    """It may use what was built before it."""
    closed: list[str] = []
    phase = Phase()
    for name in ("database", "engine", "links"):
        phase.add(Recorded(name, closed))

    phase.close()

    assert closed == ["links", "engine", "database"]


@pytest.mark.parametrize("failure", [OSError("disk"), gevent.GreenletExit("killed")])
def test_a_part_that_cannot_be_closed_keeps_none_of_the_others(failure: BaseException) -> None:
    """Else one broken socket would leave the store, locks and child processes behind."""
    closed: list[str] = []
    phase = Phase()
    phase.add(Recorded("database", closed))
    phase.add(Recorded("engine", closed, failure))
    phase.add(Recorded("links", closed))

    with pytest.raises(type(failure)):
        phase.close()

    assert closed == ["links", "engine", "database"]


def test_of_several_failures_none_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    """`ExitStack` raises the last and forgets the others."""
    closed: list[str] = []
    phase = Phase()
    phase.add(Recorded("database", closed, OSError("no space")))
    phase.add(Recorded("links", closed, OSError("broken pipe")))

    with pytest.raises(OSError, match="no space"):
        phase.close()

    assert "broken pipe" in caplog.text
    assert "no space" in caplog.text


def test_a_part_is_closed_once() -> None:
    """Ctrl-C, the look at whether the worker shall stop, and its exit all close."""
    closed: list[str] = []
    phase = Phase()
    phase.add(Recorded("links", closed))

    phase.close()
    phase.close()

    assert closed == ["links"]


def test_who_closes_meanwhile_waits_until_all_is_closed() -> None:
    """What comes after the phase frees what its parts use."""
    goes_on, closed = Event(), list[str]()

    class Slow:
        def close(self) -> None:
            goes_on.wait()

    phase = Phase()
    phase.add(Recorded("database", closed))
    phase.add(Slow())
    first, second = gevent.spawn(phase.close), gevent.spawn(phase.close)
    gevent.idle()
    waited = not second.ready()
    goes_on.set()
    gevent.joinall([first, second], timeout=5, raise_error=True)

    assert waited
    assert closed == ["database"]
