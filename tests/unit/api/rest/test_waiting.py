"""Waiting for others, and not for longer than the process lives."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import GatewayStopping


def test_it_gives_what_the_work_gives() -> None:
    """A value, or the error itself."""
    waiting = Waiting()

    assert waiting.until(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        waiting.until(lambda: 1 // 0)


def test_the_work_ends_with_the_wait() -> None:
    """Whatever it holds is let go before the answer is written."""
    waiting, let_go = Waiting(), []

    def work() -> None:
        try:
            Event().wait()
        finally:
            let_go.append(True)

    gevent.spawn_later(0.01, waiting.close)
    with pytest.raises(GatewayStopping):
        waiting.until(work)
    assert let_go == [True]

    with gevent.Timeout(0.01, False):
        Waiting().until(work)
    assert let_go == [True, True]


def test_what_is_done_already_is_given_even_then() -> None:
    """An answer that is there is better than none; but nothing is begun any more."""
    waiting = Waiting()

    def work() -> int:
        waiting.close()
        return 7

    assert waiting.until(work) == 7
    with pytest.raises(GatewayStopping):
        waiting.until(lambda: gevent.sleep(10))


def test_items_come_with_pauses_in_between() -> None:
    """The first is waited for with a patience of its own."""
    more = Event()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        more.wait()
        yield 3

    each = Waiting().each(items(), first_s=5, then_s=0.01)

    assert [next(each) for _ in range(4)] == [1, 2, None, None]
    more.set()
    assert [item for item in each if item is not None] == [3]


def test_no_item_is_asked_for_early() -> None:
    """Whoever reads slowly slows down what is read."""
    asked = []

    def items() -> Iterator[int]:
        for number in range(3):
            asked.append(number)
            yield number

    each = Waiting().each(items(), first_s=5, then_s=5)
    next(each)
    gevent.sleep(0.01)

    assert asked == [0]
    each.close()


@pytest.mark.parametrize("wait", [True, False])
def test_closing_closes_the_items(wait: bool) -> None:
    """In the middle of a wait, too."""
    closed = []

    def items() -> Iterator[int]:
        try:
            yield 1
            Event().wait()
        finally:
            closed.append(True)

    each = Waiting().each(items(), first_s=5, then_s=0.01)
    next(each)
    if wait:
        assert next(each) is None
    each.close()

    assert closed == [True]


def test_errors_and_the_end_of_the_process_come_through() -> None:
    """Out of the iteration."""

    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("x")

    each = Waiting().each(failing(), first_s=5, then_s=5)
    assert next(each) == 1
    with pytest.raises(KeyError):
        next(each)

    def silent() -> Iterator[int]:
        yield 1
        Event().wait()

    waiting = Waiting()
    each = waiting.each(silent(), first_s=5, then_s=5)
    assert next(each) == 1
    gevent.spawn_later(0.01, waiting.close)
    with pytest.raises(GatewayStopping):
        next(each)
