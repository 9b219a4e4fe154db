"""The budget of bytes that a worker holds for its clients: never exceeded, shared, no leak."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayFull, TooMuchUnread
from gateway.process import byte_budget as budget_module
from gateway.process.byte_budget import ByteBudget, OneAtATime

CAPACITY = 10


def _budget(capacity: int = CAPACITY, per_owner: int = CAPACITY) -> ByteBudget:
    return ByteBudget(capacity, per_owner, own_full=TooMuchUnread, all_full=GatewayFull)


def _holder(
    budget: ByteBudget, size: int, release: Event, log: list[int], owner: str = "alice"
) -> None:
    with budget.hold(owner, size):
        log.append(size)
        release.wait()


def test_what_fits_does_not_wait() -> None:
    """The usual case costs nothing."""
    budget = _budget()

    with budget.hold("alice", 4, within_s=0), budget.hold("alice", 6, within_s=0):
        assert budget.held == 10
    assert budget.held == 0


def test_a_large_request_is_not_overtaken_for_ever() -> None:
    """Small results that keep coming must not starve a large one."""
    budget, log = _budget(), []
    first, rest = Event(), Event()
    greenlets = [gevent.spawn(_holder, budget, 8, first, log)]
    gevent.sleep(0)
    greenlets += [gevent.spawn(_holder, budget, size, rest, log) for size in (10, 1, 1)]
    gevent.sleep(0)

    assert log == [8]
    assert budget.try_take("alice", 1) == 0
    first.set()
    rest.set()
    gevent.joinall(greenlets, timeout=1, raise_error=True)

    assert log == [8, 10, 1, 1]


def test_more_than_there_is_takes_all() -> None:
    """A result larger than the whole budget is served alone, and not never."""
    budget, log = _budget(), []
    release = Event()
    release.set()

    with budget.hold("alice", 1000):
        waiting = gevent.spawn(_holder, budget, 1, release, log)
        gevent.sleep(0.05)
        assert log == []
    waiting.get(timeout=1)
    assert log == [1]


def test_a_wait_in_vain_is_an_error_and_no_overrun() -> None:
    """Going on without would make the bound a wish. Whose fault it is decides which error."""
    budget = _budget(per_owner=6)

    with budget.hold("alice", 6), pytest.raises(TooMuchUnread), budget.hold("alice", 1, 0.01):
        raise AssertionError("held more than the owner's share")
    with (
        budget.hold("alice", 6),
        budget.hold("bob", 4),
        pytest.raises(GatewayFull),
        budget.hold("carol", 1, 0.01),
    ):
        raise AssertionError("held more than there is")
    assert budget.held == 0


def test_the_wait_is_as_long_as_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that takes nothing is given up in that time, and what it held comes back."""
    monkeypatch.setattr(budget_module, "PATIENCE_S", 0.05)
    budget = _budget()

    with budget.hold("alice", 10):
        gevent.sleep(0)  # else what was done before counts as waited
        begun = time.monotonic()
        with pytest.raises(TooMuchUnread), gevent.Timeout(2):
            budget.take("alice", 1)
        waited_s = time.monotonic() - begun

    assert waited_s >= 0.04
    assert (budget.held, budget._held_of, len(budget._waiting)) == (0, {}, 0)


def test_nobody_waits_for_anothers_share() -> None:
    """One that reads nothing, and has more waiting, leaves the others their part."""
    budget, log = _budget(per_owner=5), []
    release = Event()
    alices = [gevent.spawn(_holder, budget, 5, release, log) for _ in range(3)]
    gevent.sleep(0)

    with budget.hold("bob", 5, within_s=0):
        assert budget.held == 10
    assert log == [5]
    release.set()
    gevent.joinall(alices, timeout=1, raise_error=True)
    assert log == [5, 5, 5]


def test_when_one_gives_up_those_behind_it_go_on() -> None:
    """A large one that waits in vain must not leave small ones waiting that fit."""
    budget, log = _budget(), []
    release = Event()
    holder = gevent.spawn(_holder, budget, 8, release, log)
    gevent.sleep(0)
    large = gevent.spawn(budget.take, "bob", 10, 0.05)
    gevent.sleep(0)
    small = gevent.spawn(budget.take, "carol", 2, 1)

    with pytest.raises(GatewayFull):
        large.get(timeout=1)
    assert small.get(timeout=0.5) == 2
    release.set()
    holder.get(timeout=1)


def test_one_client_holds_one_at_a_time() -> None:
    """However many results of its own are ready."""
    budget, log = _budget(), []
    mine, release = OneAtATime(budget), Event()
    holders = [gevent.spawn(_holder, mine, 2, release, log) for _ in range(3)]
    gevent.sleep(0.01)

    assert budget.held == 2
    release.set()
    gevent.joinall(holders, timeout=1, raise_error=True)
    assert (log, budget.held) == ([2, 2, 2], 0)


@pytest.mark.parametrize("granted", [False, True], ids=["waiting", "granted"])
def test_who_is_killed_leaves_no_hole(granted: bool) -> None:
    """Clients go away while their result waits for its turn."""
    budget, log = _budget(), []
    release = Event()
    holder = gevent.spawn(_holder, budget, 10, release, log)
    gevent.sleep(0)
    victim = gevent.spawn(_holder, budget, 10, Event(), log)
    gevent.sleep(0)
    if granted:
        release.set()
        holder.join()
        victim.kill()
    else:
        victim.kill()
        release.set()
        holder.join()

    with budget.hold("alice", 10, within_s=0):
        assert not budget._waiting
    assert (budget.held, budget._held_of) == (0, {})


@settings(max_examples=50)
@given(
    sizes=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 15), st.booleans()), max_size=20
    )
)
def test_the_budget_is_never_exceeded_and_all_comes_back(
    sizes: list[tuple[str, int, bool]],
) -> None:
    """Whatever the order of comings and goings, in all and of each owner."""
    budget, held = _budget(per_owner=7), {"a": 0, "b": 0, "c": 0}
    served = []

    def use(owner: str, size: int, patient: bool) -> None:
        try:
            taken = budget.take(owner, size, 1 if patient else 0)
        except (TooMuchUnread, GatewayFull):
            assert not patient
            return
        held[owner] += taken
        served.append(owner)
        assert held[owner] <= 7
        assert sum(held.values()) <= CAPACITY
        gevent.sleep(0)
        held[owner] -= taken
        budget.give_back(owner, taken)

    gevent.joinall([gevent.spawn(use, *one) for one in sizes], timeout=5, raise_error=True)

    assert len(served) >= sum(patient for _, _, patient in sizes)
    assert (budget.held, budget._held_of) == (0, {})
    with budget.hold("a", 7, within_s=0):
        assert budget.held == 7
