"""The budget of output that a worker holds: never exceeded, first come first served, no leak."""

from __future__ import annotations

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.commands.budget import OutputBudget


def _holder(budget: OutputBudget, size: int, release: gevent.event.Event, log: list) -> None:
    with budget.hold(size):
        log.append(size)
        release.wait()


def test_what_fits_does_not_wait() -> None:
    """The usual case costs nothing."""
    budget = OutputBudget(10)

    with budget.hold(4), budget.hold(6):
        pass


def test_a_large_request_is_not_overtaken_for_ever() -> None:
    """Small results that keep coming must not starve a large one."""
    budget, log = OutputBudget(10), []
    first, rest = gevent.event.Event(), gevent.event.Event()
    greenlets = [gevent.spawn(_holder, budget, 8, first, log)]
    gevent.sleep(0)
    greenlets += [gevent.spawn(_holder, budget, size, rest, log) for size in (10, 1, 1)]
    gevent.sleep(0)

    assert log == [8]
    first.set()
    rest.set()
    gevent.joinall(greenlets, timeout=1, raise_error=True)

    assert log == [8, 10, 1, 1]


def test_more_than_there_is_takes_all() -> None:
    """A result larger than the whole budget is served alone, and not never."""
    budget = OutputBudget(10)

    with budget.hold(1000):
        waiting = gevent.spawn(lambda: budget.hold(1).__enter__())
        gevent.sleep(0)
        assert not waiting.ready()
    waiting.join(timeout=1)
    assert waiting.ready()


@pytest.mark.parametrize("granted", [False, True], ids=["waiting", "granted"])
def test_who_is_killed_leaves_no_hole(granted: bool) -> None:
    """Clients go away while their result waits for its turn."""
    budget, log = OutputBudget(10), []
    release = gevent.event.Event()
    holder = gevent.spawn(_holder, budget, 10, release, log)
    gevent.sleep(0)
    victim = gevent.spawn(_holder, budget, 10, gevent.event.Event(), log)
    gevent.sleep(0)
    if granted:
        release.set()
        holder.join()
        victim.kill()
    else:
        victim.kill()
        release.set()
        holder.join()

    with gevent.Timeout(1), budget.hold(10):
        assert budget._waiting == type(budget._waiting)()


@settings(max_examples=50)
@given(sizes=st.lists(st.integers(0, 15), max_size=20))
def test_the_budget_is_never_exceeded_and_all_comes_back(sizes: list[int]) -> None:
    """Whatever the order of comings and goings."""
    budget, held, most = OutputBudget(10), [0], [0]

    def use(size: int) -> None:
        with budget.hold(size):
            held[0] += min(size, 10)
            most[0] = max(most[0], held[0])
            gevent.sleep(0)
            held[0] -= min(size, 10)

    gevent.joinall([gevent.spawn(use, size) for size in sizes], timeout=5, raise_error=True)

    assert most[0] <= 10
    assert held[0] == 0
    with gevent.Timeout(1), budget.hold(10):
        pass
