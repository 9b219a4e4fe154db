"""What is done again and again goes on, whatever happens in a round."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent
import pytest

from gateway.errors import StoreUnavailable
from gateway.process.change_feed import ChangeFeed
from gateway.process.periodic import PeriodicLoop
from tests.support.change_feeds import quiet_feed


def _soon(predicate: Callable[[], object]) -> None:
    with gevent.Timeout(20, AssertionError("not within 20 s")):
        while not predicate():
            gevent.sleep(0.005)


class Rounds:
    """Work that counts its rounds, and fails as it is told."""

    def __init__(self, *failures: Exception | None) -> None:
        self.done = 0
        self._failures = list(failures)

    def work(self) -> None:
        self.done += 1
        failure = self._failures.pop(0) if self._failures else None
        if failure is not None:
            raise failure


@pytest.mark.parametrize("error", [StoreUnavailable("full"), ValueError("a bug"), OSError(5, "x")])
def test_a_round_that_fails_ends_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with the loop's name, and the next round comes."""
    rounds = Rounds(error)
    loop = PeriodicLoop("counting", rounds.work, 0.01)
    loop.start()

    _soon(lambda: rounds.done >= 3)
    loop.close()

    [record] = caplog.records
    assert record.getMessage().startswith("counting")
    assert record.levelno == (
        logging.WARNING if isinstance(error, StoreUnavailable) else logging.ERROR
    )


def test_after_a_failure_it_waits_longer() -> None:
    """An engine that is away is not asked as often as one that answers."""
    rounds = Rounds(StoreUnavailable("away"))
    loop = PeriodicLoop("counting", rounds.work, 0.001, after_failure_s=30.0)
    loop.start()
    gevent.sleep(0.1)
    loop.close()

    assert rounds.done == 1


def test_the_first_round_may_come_later() -> None:
    """And `close` ends the wait for it, twice too."""
    rounds = Rounds()
    loop = PeriodicLoop("counting", rounds.work, 0.001)
    loop.start(first_after_s=30.0)
    gevent.sleep(0.05)
    loop.close()
    loop.close()

    assert rounds.done == 0


def test_a_change_ends_the_wait_and_a_crowd_of_changes_makes_one_round() -> None:
    """What changes a hundred times within `settle_s` is looked at once."""
    version = 0

    class Signal:
        def wait(self, timeout_s: float) -> None:
            gevent.sleep(0.001)

    rounds = Rounds()
    feed = ChangeFeed(lambda: version, Signal())
    loop = PeriodicLoop("counting", rounds.work, 60.0, feed=feed, settle_s=0.3)
    loop.start()
    _soon(lambda: rounds.done == 2)  # the first look of a feed is a change
    gevent.sleep(0.02)
    for _ in range(100):
        version += 1
        gevent.sleep(0.001)

    _soon(lambda: rounds.done >= 3)
    loop.close()

    assert rounds.done == 3


def test_without_a_change_it_comes_in_its_time() -> None:
    """The store does not tell everything."""
    rounds = Rounds()
    loop = PeriodicLoop("counting", rounds.work, 0.01, feed=quiet_feed())
    loop.start()

    _soon(lambda: rounds.done >= 3)
    loop.close()
