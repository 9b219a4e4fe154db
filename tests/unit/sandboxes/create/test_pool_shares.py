"""Who has to leave what stands ready to others."""

from __future__ import annotations

import pytest

from gateway.sandboxes.create import pool_shares
from gateway.sandboxes.create.pool_shares import PoolShares, kept_for_others


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shares(clock: Clock) -> PoolShares:
    return PoolShares(clock)


def _take(shares: PoolShares, owner: str, times: int = 1) -> None:
    for _ in range(times):
        shares.asked(owner)
        shares.took(owner)


@pytest.mark.parametrize(("size", "kept"), [(0, 0), (1, 1), (2, 1), (3, 2), (10, 5)])
def test_half_is_kept(size: int, kept: int) -> None:
    assert kept_for_others(size) == kept


def test_one_alone_may_have_all(shares: PoolShares) -> None:
    _take(shares, "a", 20)
    assert (shares.several(), shares.has_had_more("a")) == (False, False)


def test_who_has_had_more_leaves_some(shares: PoolShares) -> None:
    _take(shares, "a", 2)
    shares.asked("b")
    assert (shares.has_had_more("a"), shares.has_had_more("b")) == (True, False)
    _take(shares, "b", 2)
    assert (shares.has_had_more("a"), shares.has_had_more("b")) == (False, False)


def test_it_is_the_mean_of_all_that_counts(shares: PoolShares) -> None:
    for owner, times in (("a", 5), ("b", 3), ("c", 1)):
        _take(shares, owner, times)
    assert [shares.has_had_more(owner) for owner in "abcd"] == [True, False, False, False]


def test_what_was_taken_long_ago_counts_less(shares: PoolShares, clock: Clock) -> None:
    _take(shares, "a", 4)
    clock.now_s += 3 * pool_shares.HALF_S
    _take(shares, "b", 1)  # of the four a half is left
    assert (shares.has_had_more("a"), shares.has_had_more("b")) == (False, True)


def test_nothing_is_kept_for_who_has_not_come_for_an_hour(shares: PoolShares, clock: Clock) -> None:
    shares.asked("b")
    clock.now_s += pool_shares.REMEMBERED_S - 1
    _take(shares, "a", 2)
    assert shares.has_had_more("a")
    clock.now_s += 2
    assert (shares.several(), shares.has_had_more("a")) == (False, False)


def test_what_is_remembered_is_bounded(
    shares: PoolShares, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_shares, "MOST_OWNERS", 3)
    for number in range(10):
        _take(shares, f"owner {number}")
    assert len(shares._accounts) == 3
