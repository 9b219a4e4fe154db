"""That one owner does not take every sandbox that stands ready.

Half of the pool is kept for owners who have had less of it lately than others. Who creates and
deletes in a loop takes the other half, as fast as it is filled; somebody who asks now and then
finds one. Each worker counts what it gives away itself: clients come to all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

HALF_S = 60.0
"""Seconds after which one that was taken counts half."""

REMEMBERED_S = 3600.0
"""Seconds after an owner's last create in which something is kept for it."""

MOST_OWNERS = 10_000
"""Beyond it those who have asked least lately are forgotten."""


def kept_for_others(size: int) -> int:
    """Of `size` pooled sandboxes: how many an owner who has had more than others has to leave."""
    return -(-size // 2)


@dataclass
class _Account:
    asked_at: float
    taken: float = 0.0
    counted_at: float = 0.0

    def taken_by(self, now: float) -> float:
        return float(self.taken * 0.5 ** ((now - self.counted_at) / HALF_S))


class PoolShares:
    """Who has asked for sandboxes lately, and taken how many of the pool. `now` gives monotonic
    seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._accounts: dict[str, _Account] = {}
        """By owner, who asked last at the end."""

    def asked(self, owner: str) -> None:
        """Note that an owner creates a sandbox."""
        now = self._now()
        account = self._accounts.pop(owner, None) or _Account(now)
        account.asked_at = now
        self._accounts[owner] = account
        self._forget(now)

    def took(self, owner: str) -> None:
        """Count one that an owner was given from the pool."""
        account = self._accounts.get(owner)
        if account is None:
            return
        now = self._now()
        account.taken, account.counted_at = account.taken_by(now) + 1, now

    def several(self) -> bool:
        """Whether there are others for whom something is to be kept."""
        self._forget(self._now())
        return len(self._accounts) > 1

    def has_had_more(self, owner: str) -> bool:
        """Whether an owner has taken more than an equal share, while there are others."""
        now = self._now()
        self._forget(now)
        account = self._accounts.get(owner)
        if account is None or len(self._accounts) < 2:
            return False
        everybody = sum(one.taken_by(now) for one in self._accounts.values())
        return account.taken_by(now) > everybody / len(self._accounts)

    def _forget(self, now: float) -> None:
        while self._accounts:
            owner = next(iter(self._accounts))
            lately = now - self._accounts[owner].asked_at < REMEMBERED_S
            if lately and len(self._accounts) <= MOST_OWNERS:
                return
            del self._accounts[owner]
