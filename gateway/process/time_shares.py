"""Each caller's share of a worker's time.

A worker is one thread: whatever one caller lets it do, all others wait for. Bounds on single
requests do not help against a hundred of them at once. So the time of every greenlet is charged to
the caller that it works for, and who has used more than its share waits, one at a time, before the
next thing is begun for it. The share is what the others leave, and at least an equal part of it.

Time is what passes between two switches of greenlets, not CPU time: where the machine is busy with
other programs, everybody's share becomes smaller alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import gevent
import greenlet  # type: ignore[import-untyped]  # it has no types
from gevent.lock import BoundedSemaphore

WHOLE = 0.9
"""Of a worker's time, for all callers together. The rest keeps waits for the hub itself short: what
has no caller, `/healthz` among it, is not made to wait."""

MOST_BESIDE_OTHERS = 0.5
"""Of a worker's time, for one caller while others are active who use less than their part. Each of
their steps waits for what was begun for it, the longer the less time is left over; and what workers
do not take is there for the commands themselves, in the sandboxes."""

AHEAD_S = 0.02
"""So far a caller may be ahead of its share."""

MOST_OWED_S = 2.0

RECENT_S = 0.5
"""Over about this time the use of the others is looked at."""

ACTIVE = 0.01
"""Who has used less than this part of the time does not count as another one."""

LOOK_S = 0.1
"""So long one who waits takes the share for what it was."""

MOST_ACCOUNTS = 1000

STRANGERS = ""
"""Whoever has not said who it is."""

_ACCOUNT = "gateway.process.time_shares"


class Account:
    """What one caller has used."""

    __slots__ = ("at", "giving_way", "owed_s", "recent", "turn", "unsettled_s")

    def __init__(self, now: float) -> None:
        self.unsettled_s = 0.0
        """Seconds used since `at`."""
        self.at = now
        self.owed_s = 0.0
        """Seconds used beyond the share; below zero while it is ahead of time."""
        self.recent = 0.0
        """Part of the time that was used lately, from 0 to 1."""
        self.turn = BoundedSemaphore(1)
        self.giving_way = BoundedSemaphore(1)
        """See `gateway.process.giving_way`."""

    def recent_at(self, now: float) -> float:
        return self.recent * math.exp((self.at - now) / RECENT_S)

    def settle(self, now: float, share: float) -> float:
        """Take in what was used since; seconds owed."""
        used_s, elapsed_s = self.unsettled_s, max(0.0, now - self.at)
        self.unsettled_s = 0.0
        self.recent = self.recent_at(now) + used_s / RECENT_S
        self.owed_s += used_s - share * elapsed_s
        self.owed_s = min(MOST_OWED_S, max(-AHEAD_S, self.owed_s))
        self.at = now
        return self.owed_s


class Shares:
    """The accounts of one worker. `now` gives seconds that never go back."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._accounts: dict[str, Account] = {}
        self._since = now()

    def start(self) -> None:
        """Charge the time between switches from now on. For the thread that calls it."""
        self._since = self._now()
        greenlet.settrace(self._switched)

    def _switched(self, _event: str, greenlets: tuple[Any, Any]) -> None:
        now = self._now()
        account = account_of(greenlets[0])
        if account is not None:
            account.unsettled_s += now - self._since
        self._since = now

    def of(self, caller: str) -> Account:
        """The account of a caller."""
        account = self._accounts.get(caller)
        if account is None:
            if len(self._accounts) >= MOST_ACCOUNTS:
                self._forget()
            account = self._accounts[caller] = Account(self._now())
        return account

    def _forget(self) -> None:
        now = self._now()
        for caller, account in list(self._accounts.items()):
            if account.recent_at(now) < ACTIVE and not account.turn.locked():
                del self._accounts[caller]

    def share_of(self, account: Account, now: float) -> float:
        """The part of the time that is an account's now, from 0 to 1."""
        others = [
            recent
            for other in self._accounts.values()
            if other is not account and (recent := other.recent_at(now)) >= ACTIVE
        ]
        equal = WHOLE / (1 + len(others))
        left = WHOLE - sum(min(recent, equal) for recent in others)
        return max(equal, min(left, MOST_BESIDE_OTHERS) if others else left)

    def wait(self, account: Account) -> None:
        """Return when the account owes nothing: in the order of the calls, one after the other."""
        if not account.turn.locked() and self._owed_s(account) <= 0:
            return
        with account.turn:
            while (owed_s := self._owed_s(account)) > 0:
                share = self.share_of(account, self._now())
                gevent.sleep(min(LOOK_S, owed_s / share))

    def _owed_s(self, account: Account) -> float:
        now = self._now()
        if account.unsettled_s == 0.0 and account.owed_s <= 0:
            return account.owed_s
        return account.settle(now, self.share_of(account, now))


shares = Shares()
"""This process's."""


def account_of(worker: Any) -> Account | None:
    """Whom a greenlet works for; those that it spawns work for the same."""
    tree = getattr(worker, "spawn_tree_locals", None)
    return tree.get(_ACCOUNT) if tree else None


def work_for(caller: str) -> None:
    """From now on the current greenlet works for `caller`."""
    _assign(gevent.getcurrent(), shares.of(caller))


def work_for_the_same(worker: gevent.Greenlet) -> None:
    """Let another greenlet work for whom the current one does, if it does for anybody."""
    account = current_account()
    if account is not None and account_of(worker) is not account:
        _assign(worker, account)


def _assign(worker: Any, account: Account) -> None:
    # A dictionary of its own: gevent gives the greenlets that its hub spawns one in common.
    worker.spawn_tree_locals = {_ACCOUNT: account}


def current_account() -> Account | None:
    """Whom the current greenlet works for, if it does for anybody."""
    return account_of(gevent.getcurrent())


def wait_for_share() -> None:
    """Return when whom the current greenlet works for has time left. Call it before something is
    begun that was not promised yet, holding nothing that others wait for."""
    account = current_account()
    if account is not None:
        shares.wait(account)
