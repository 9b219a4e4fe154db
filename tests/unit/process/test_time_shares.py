"""Each caller's share of a worker's time."""

from __future__ import annotations

import time

import gevent
import greenlet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.process.time_shares import (
    AHEAD_S,
    MOST_ACCOUNTS,
    MOST_BESIDE_OTHERS,
    MOST_OWED_S,
    WHOLE,
    Account,
    Shares,
    account_of,
    shares,
    wait_for_share,
    work_for,
    work_for_the_same,
)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _use(accounts: Shares, clock: Clock, parts: dict[str, float], seconds: float) -> None:
    """Let time go by, of which each caller uses a part."""
    for _ in range(int(seconds / 0.01)):
        clock.now += 0.01
        for caller, part in parts.items():
            account = accounts.of(caller)
            account.unsettled_s += part * 0.01
            account.settle(clock.now, accounts.share_of(account, clock.now))


def test_one_alone_has_nearly_all_of_it(clock: Clock) -> None:
    """Nobody is held back for others who are not there."""
    accounts = Shares(clock)
    _use(accounts, clock, {"a": 0.85}, 3)

    assert accounts.share_of(accounts.of("a"), clock.now) == pytest.approx(WHOLE)
    assert accounts.of("a").owed_s <= 0


def test_what_others_leave_is_had_by_whoever_wants_it(clock: Clock) -> None:
    """Up to a half, for steps of one who does little wait for what was begun for the other."""
    accounts = Shares(clock)
    _use(accounts, clock, {"little": 0.1, "much": 0.5}, 5)
    assert accounts.share_of(accounts.of("much"), clock.now) == MOST_BESIDE_OTHERS

    accounts = Shares(clock)
    _use(accounts, clock, {"a": 0.25, "b": 0.25, "much": 0.5}, 5)
    share = accounts.share_of(accounts.of("much"), clock.now)
    assert share == pytest.approx(WHOLE - 0.5, abs=0.02)


def test_whoever_wants_all_leaves_the_others_an_equal_part(clock: Clock) -> None:
    """However much it asks for, it owes what goes beyond; they owe nothing."""
    accounts = Shares(clock)
    _use(accounts, clock, {"greedy": 0.6, "b": 0.25, "c": 0.25}, 5)

    assert accounts.share_of(accounts.of("greedy"), clock.now) == pytest.approx(0.4, abs=0.05)
    assert accounts.of("greedy").owed_s > 0.1
    assert accounts.of("b").owed_s <= 0
    assert accounts.of("c").owed_s <= 0


def test_debts_have_an_end_and_are_forgotten(clock: Clock) -> None:
    """After an hour of anything a caller waits for seconds, not for hours; and nobody can save
    up more than a moment."""
    accounts = Shares(clock)
    account = accounts.of("a")
    account.unsettled_s = 3600.0
    assert account.settle(clock.now, 0.5) == MOST_OWED_S
    clock.now += 3600
    assert account.settle(clock.now, 0.5) == -AHEAD_S


@given(
    parts=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    gaps=st.lists(st.floats(0.001, 3), min_size=1, max_size=10),
)
def test_shares_never_come_to_more_than_there_is(parts: list[float], gaps: list[float]) -> None:
    """An equal part is always there for each; and what is over is not given away twice to those
    who use theirs."""
    clock = Clock()
    accounts = Shares(clock)
    for gap in gaps:
        clock.now += gap
        for number, part in enumerate(parts):
            account = accounts.of(str(number))
            account.unsettled_s += part * gap / sum([*parts, 1.0])
            account.settle(clock.now, accounts.share_of(account, clock.now))
    for number in range(len(parts)):
        share = accounts.share_of(accounts.of(str(number)), clock.now)
        assert WHOLE / len(parts) - 1e-9 <= share <= WHOLE + 1e-9


def test_accounts_that_are_not_used_are_forgotten(clock: Clock) -> None:
    """Callers come and go: without keys each sandbox is one."""
    accounts = Shares(clock)
    for number in range(3 * MOST_ACCOUNTS):
        clock.now += 1.0
        accounts.of(str(number))

    assert len(accounts._accounts) <= MOST_ACCOUNTS


@pytest.fixture
def charged() -> object:
    """The process's own accounts, while they are charged."""
    # Other tests may have let this very greenlet work for somebody.
    gevent.getcurrent().spawn_tree_locals = {}
    shares.start()
    yield shares

    greenlet.settrace(None)
    shares._accounts.clear()


def _busy(caller: str, until: float, step_s: float, done: dict[str, int]) -> None:
    work_for(caller)
    while time.perf_counter() < until:
        wait_for_share()
        end = time.perf_counter() + step_s
        while time.perf_counter() < end:
            pass
        done[caller] = done.get(caller, 0) + 1
        gevent.sleep(0)


@pytest.mark.parametrize("greenlets", [20, 200])
def test_hundreds_for_one_leave_another_its_share(charged: Shares, greenlets: int) -> None:
    """By turns alone the one that has a single thing to do would get one of so many."""
    done: dict[str, int] = {}
    until = time.perf_counter() + 2.0
    crowd = [gevent.spawn(_busy, "crowd", until, 0.003, done) for _ in range(greenlets)]
    alone = gevent.spawn(_busy, "alone", until, 0.003, done)
    gevent.joinall([*crowd, alone])

    # The first step of each comes before anything is owed.
    assert done["alone"] > 0.3 * (done["crowd"] - greenlets)


def test_what_is_spawned_works_for_the_same(charged: Shares) -> None:
    """A request's attempts, a connection's commands, a link's reader: all are one caller's."""
    seen: list[Account | None] = []

    def inner() -> None:
        seen.append(account_of(gevent.getcurrent()))

    def outer() -> None:
        work_for("a")
        gevent.spawn(inner).join()
        reader = gevent.spawn(gevent.sleep, 0.01)
        work_for("b")
        work_for_the_same(reader)
        seen.append(account_of(reader))

    gevent.spawn(outer).join()

    assert seen == [charged.of("a"), charged.of("b")]


def test_one_connection_does_not_work_for_another(charged: Shares) -> None:
    """gevent gives all greenlets that its hub spawns one dictionary; the caller is not in it."""
    first = gevent.spawn(work_for, "a")
    first.join()
    second = gevent.spawn(lambda: account_of(gevent.getcurrent()))
    second.join()

    assert second.value is None
