"""Lets creates in, in a fair order; those that have no room wait in a bounded queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gevent.event import Event

from gateway import clock
from gateway.engine.interface import EngineHost
from gateway.errors import (
    CapacityExhausted,
    GatewayStopping,
    IdempotencyKeyReused,
    NameTaken,
    TooManyLabels,
    TooManySandboxes,
)
from gateway.process.change_feed import ChangeFeed
from gateway.sandboxes.create.capacity import (
    Capacity,
    free_memory_mb,
    host_limits,
    part_of,
    share_of,
)
from gateway.sandboxes.spec.owner_limits import Owner
from gateway.store.admission import Admission, AdmissionStore, Key
from gateway.store.room import Limits
from gateway.store.rows import SandboxRow

LOOK_S = 0.25
"""How often one that waits looks whether it is its turn, beside each change in the store: memory
of the host may be free, and tickets age."""

SPARE_TICKET_S = 5.0
"""After the wait's end a ticket is void, should its worker be stopped or hang."""


class AdmissionController:
    """Lets creates in, in a fair order.

    `host` says what the engine runs on; `is_local` whether this machine's memory is the engine's.
    """

    def __init__(
        self,
        store: AdmissionStore,
        capacity: Capacity,
        host: Callable[[], EngineHost],
        is_local: Callable[[], bool],
        worker_id: str,
        feed: ChangeFeed,
    ) -> None:
        self._store = store
        self._feed = feed
        self._turn: tuple[int, float, int | None] = (-1, 0.0, None)
        self._capacity = capacity
        self._host = host
        self._is_local = is_local
        self._worker_id = worker_id
        self._closing = Event()

    def admit(
        self,
        wanted: SandboxRow,
        owner: Owner,
        key: Key | None,
        *,
        needs_update: bool,
        leave_pooled: int = 0,
        has_left: Callable[[], bool] = lambda: False,
    ) -> Admission:
        """The sandbox that was noted or taken, or the first one of the key. Waits for room, as
        long as the client has not left. One of the pool is only taken while more than
        `leave_pooled` stand ready.

        Raises TooManySandboxes, TooManyLabels, NameTaken, TooManyWaiting,
        CapacityExhausted, IdempotencyKeyReused, GatewayStopping and the engine's errors.
        """
        limits = host_limits(self._capacity, self._host(), owner)

        def attempt(ticket: int | None) -> Admission | None:
            # Another sandbox's processes may be about to use what is left of the memory.
            if not self._memory_is_free():
                return None
            admission = self._store.admit(
                wanted,
                limits,
                now=clock.boot_s(),
                key=key,
                ticket=ticket,
                needs_update=needs_update,
                leave_pooled=leave_pooled,
            )
            if admission.refused == "owner":
                raise TooManySandboxes()
            if admission.refused == "labels":
                raise TooManyLabels()
            if admission.refused == "name":
                raise NameTaken()
            if admission.refused == "key":
                raise IdempotencyKeyReused()
            return None if admission.refused else admission

        return attempt(None) or self._wait(owner, wanted.memory_mb, limits, attempt, has_left)

    def _wait(
        self,
        owner: Owner,
        memory_mb: int,
        limits: Limits,
        attempt: Callable[[int | None], Admission | None],
        has_left: Callable[[], bool],
    ) -> Admission:
        deadline = clock.boot_s() + self._capacity.queue_wait_s
        ticket = self._store.join_queue(
            owner.name,
            worker_id=self._worker_id,
            now=clock.boot_s(),
            valid_until=deadline + SPARE_TICKET_S,
            longest=self._capacity.queue_size,
            longest_of_owner=part_of(self._capacity.queue_size, share_of(self._capacity, owner)),
            memory_mb=memory_mb,
            limits=limits,
            wait_s=self._capacity.queue_wait_s,
        )
        if ticket is None:
            raise CapacityExhausted("the queue is full")
        try:
            while clock.boot_s() < deadline:
                if self._closing.is_set():
                    raise GatewayStopping()
                if has_left():
                    raise CapacityExhausted("the client did not wait for room")
                mark = self._feed.mark
                if self._next(limits, mark) == ticket:
                    admission = attempt(ticket)
                    if admission is not None:
                        return admission
                self._feed.wait_after(mark, LOOK_S)
            raise CapacityExhausted("no room within the time that a create may wait")
        finally:
            self._store.leave_queue(ticket, now=clock.boot_s())

    def _next(self, limits: Limits, mark: int) -> int | None:
        """Whose turn it is: looked up once for all who wait in this process."""
        seen, at, ticket = self._turn
        now = clock.boot_s()
        if seen != mark or now - at >= LOOK_S / 2:
            ticket = self._store.next_ticket(now=now, limits=limits)
            self._turn = (mark, now, ticket)
        return ticket

    def _memory_is_free(self) -> bool:
        if not self._is_local():
            return True
        free_mb = free_memory_mb(Path("/proc/meminfo").read_text())
        return free_mb is None or free_mb >= self._capacity.memory_reserve_mb

    def close(self) -> None:
        """End every wait with GatewayStopping. May be repeated."""
        self._closing.set()
