"""Leases of short requests: all those of a worker that use one sandbox share one.

A lease takes two writes, and each wakes every worker. Whoever works over REST asks again and again:
the first request takes a lease, the others share it, and it is given back a moment after the last
one. Nobody is told of that moment: the lease is of the kind `request`, which shows in the status
only while its mark says that a request is at work, and idle time begins with the end of the last
one. A request that takes longer makes it a client's lease, which is given back at once.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from typing import Any, Protocol

import gevent
from gevent.event import Event

from gateway import clock
from gateway.errors import GatewayError, StoreUnavailable
from gateway.process.use_marks import UseMarks
from gateway.sandboxes.life.list_and_lease import Lease, Sandboxes
from gateway.sandboxes.life.requests_at_work import lease_id_of
from gateway.sandboxes.life.shared_lease import LINGER_S, RequestLease, SharedLease
from gateway.store.leases import Leased, LeaseStore, Stay

log = logging.getLogger(__name__)

STAY_S = 0.1
"""A request that takes longer counts as a client's."""

LOOK_S = 0.05
"""How often it is looked which requests take long, and which leases are not used any more."""


class CommandWatcher(Protocol):
    """Knows whether something runs in a sandbox."""

    def keep(self, lease: Any) -> None:
        """Give the lease back once nothing runs any more. Does not block."""


class RequestLeases:
    """Gives leases to short requests. Owns one greenlet, from `start` to `close`."""

    def __init__(
        self,
        leases: LeaseStore,
        sandboxes: Sandboxes,
        watcher: CommandWatcher,
        marks: UseMarks,
        worker_id: str,
    ) -> None:
        self._leases = leases
        self._sandboxes = sandboxes
        self._watcher = watcher
        self._marks = marks
        self._worker_id = worker_id
        self._current: dict[str, SharedLease] = {}
        """By sandbox, the lease that the next request shares."""
        self._young: dict[RequestLease, None] = {}
        """Requests that may be over before they count as clients, oldest first."""
        self._resting: dict[SharedLease, None] = {}
        """Leases that nobody uses now, in the order in which that began."""
        self._owed: list[SharedLease] = []
        """Leases that the store would not take back."""
        self._left: list[RequestLease] = []
        """Requests that left something running, of which the store would not take note."""
        self._something = Event()
        self._closed = False
        self._greenlet: gevent.Greenlet | None = None

    # --- what `gateway.use` needs --------------------------------------------------------------

    def get(self, sandbox_id: str) -> object:
        """Raises SandboxNotFound."""
        return self._sandboxes.get(sandbox_id)

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        """Those of the sandboxes that are no more, with why."""
        return self._sandboxes.ended_among(sandbox_ids)

    def paused_among(self, sandbox_ids: set[str]) -> dict[str, float]:
        """Those of the sandboxes that are paused, with the boot time since when."""
        return self._sandboxes.paused_among(sandbox_ids)

    def resume_leased(self, sandbox_id: str) -> None:
        """Resume a sandbox for somebody who has a lease. Raises what `lease` does."""
        self._sandboxes.resume_leased(sandbox_id)

    def lease(self, sandbox_id: str) -> RequestLease:
        """Begin to use a sandbox, as `Sandboxes.lease` does; raises what that does."""
        lease, leased = self._join(sandbox_id) or self._begin(sandbox_id)
        if leased.state == "ready" and leased.container_id:
            lease.container_id, lease.owner = leased.container_id, leased.owner or sandbox_id
            if self._sandboxes.is_linked(leased.container_id):
                return lease
        try:
            lease.container_id, lease.owner = self._sandboxes.make_usable(sandbox_id)
        except BaseException:
            self.release(lease)
            raise
        return lease

    def release(self, lease: RequestLease) -> None:
        """Stop using a sandbox. May be repeated. What the store does not take now it gets later."""
        shared = lease.shared
        if lease not in shared.uses:
            return
        shared.uses.remove(lease)
        self._young.pop(lease, None)
        shared.last_used = clock.boot_s()
        if shared.uses:
            return
        shared.mark.set(in_use=False)
        is_current = self._current.get(shared.sandbox_id) is shared
        if is_current and shared.lingers and not self._closed:
            self._resting[shared] = None
        else:
            self._give_back([shared])

    def keep(self, lease: RequestLease) -> None:
        """Leave a lease for what the request left running, until that ends. Does not block."""
        try:
            self._hand_over(lease)
        except StoreUnavailable as error:
            log.warning("what runs in sandbox %s is noted later: %s", lease.sandbox_id, error)
            self._left.append(lease)
            self._something.set()

    # --- one request ---------------------------------------------------------------------------

    def _join(self, sandbox_id: str) -> tuple[RequestLease, Leased] | None:
        """Share the lease that there is; None if there is none, or it is none any more."""
        shared = self._current.get(sandbox_id)
        if shared is None:
            return None
        lease = self._used_by_one_more(shared)  # first, so that it is not given back meanwhile
        try:
            leased = self._leases.leased(shared.lease_id)
        except BaseException:
            self.release(lease)
            raise
        if leased is None:
            if self._current.get(sandbox_id) is shared:
                del self._current[sandbox_id]
            self.release(lease)
            return None
        shared.idle_timeout_s = leased.idle_timeout_s
        return lease, leased

    def _begin(self, sandbox_id: str) -> tuple[RequestLease, Leased]:
        mark = self._marks.take()
        lease_id = lease_id_of(secrets.token_hex(8), mark.slot)
        leased = None
        try:
            leased = self._leases.acquire_lease(
                lease_id, sandbox_id, worker_id=self._worker_id, purpose="request"
            )
        finally:
            if leased is None:
                mark.give_back()
        if leased is None:
            raise self._sandboxes.not_found(sandbox_id)
        shared = SharedLease(lease_id, sandbox_id, leased.idle_timeout_s, mark)
        self._current.setdefault(sandbox_id, shared)  # else another came first, and this is alone
        return self._used_by_one_more(shared), leased

    def _used_by_one_more(self, shared: SharedLease) -> RequestLease:
        lease = RequestLease(shared, clock.boot_s())
        shared.uses.add(lease)
        shared.mark.set(in_use=True)
        self._resting.pop(shared, None)
        self._young[lease] = None
        if not self._something.is_set():
            self._something.set()
        return lease

    def _hand_over(self, lease: RequestLease) -> None:
        """First the new lease, then no more the old one. Raises StoreUnavailable."""
        lease_id, sandbox_id = secrets.token_hex(8), lease.sandbox_id
        kept = self._leases.acquire_lease(
            lease_id, sandbox_id, worker_id=self._worker_id, purpose="command"
        )
        if kept is not None:
            self._watcher.keep(Lease(lease_id, sandbox_id, lease.container_id, lease.owner))
        self.release(lease)

    def _give_back(self, unused: Iterable[SharedLease]) -> None:
        """From here on nobody shares them any more, also while the store is waited for."""
        given = list(unused)
        for shared in given:
            self._resting.pop(shared, None)
            if self._current.get(shared.sandbox_id) is shared:
                del self._current[shared.sandbox_id]
        try:
            self._leases.give_back(shared.unused for shared in given)
        except BaseException as error:
            self._owed += given
            self._something.set()
            if not isinstance(error, StoreUnavailable):
                raise
            log.warning("%d leases are given back later: %s", len(given), error)
            return
        for shared in given:
            shared.mark.give_back()

    # --- all of them ---------------------------------------------------------------------------

    def look(self) -> None:
        """See to requests that take long, and to leases that nobody uses any more."""
        now = clock.boot_s()
        left, self._left = self._left, []
        for lease in left:
            self.keep(lease)
        owed, self._owed = self._owed, []
        unused = [one for one in self._resting if one.last_used <= now - LINGER_S]
        if owed or unused:
            self._give_back([*owed, *unused])
        long = [one for one in self._young if one.began <= now - STAY_S]
        if long:
            self._count_as_clients(long)

    def _count_as_clients(self, long: list[RequestLease]) -> None:
        """Raises StoreUnavailable; then it is tried again."""
        came_at: dict[SharedLease, float] = {}
        for lease in long:
            lease.shared.counts_as_client = True  # first: it may end while the store is waited for
            came_at[lease.shared] = max(lease.began, came_at.get(lease.shared, 0.0))
        paused = self._leases.count_as_clients(
            Stay(shared.lease_id, shared.sandbox_id, at) for shared, at in came_at.items()
        )
        for lease in long:
            self._young.pop(lease, None)
        for shared, at in came_at.items():
            # It was paused by another hand, who could not know that somebody was about to come.
            if shared.uses and paused.get(shared.sandbox_id, at) < at:
                gevent.spawn(self._resume, shared.sandbox_id)

    def _resume(self, sandbox_id: str) -> None:
        try:
            self._sandboxes.resume_leased(sandbox_id)
        except GatewayError as error:
            log.warning("sandbox %s cannot be resumed: %s", sandbox_id, error)
        except Exception:
            log.exception("resuming sandbox %s failed", sandbox_id)

    def start(self) -> None:
        """Begin to look, in a greenlet of its own."""
        self._greenlet = gevent.spawn(self._look_for_ever)

    def _look_for_ever(self) -> None:
        while True:
            self._something.wait()
            gevent.sleep(LOOK_S)
            try:
                self.look()
            except StoreUnavailable as error:
                log.warning("leases of requests are looked at later: %s", error)
            except Exception:
                log.exception("looking at leases of requests failed")
            if not (self._young or self._resting or self._owed or self._left):
                self._something.clear()

    def close(self) -> None:
        """Give back what nobody uses; from now on, each at once. May be repeated."""
        self._closed = True
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.kill()
        if self._resting or self._owed:
            owed, self._owed = self._owed, []
            self._give_back([*owed, *self._resting])
