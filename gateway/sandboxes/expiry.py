"""Which sandboxes have been idle for too long, and their removal."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

import gevent
from gevent.pool import Pool

from gateway import clock
from gateway.errors import AgentUnavailable, ContainerGone, EngineFault, SandboxFault
from gateway.sandboxes.removal import Removal
from gateway.store.sandboxes import SandboxRow, SandboxStore

log = logging.getLogger(__name__)

AT_A_TIME = 10

ANSWER_LIMIT_S = 10.0
"""How long an agent may take to say what it runs. One that was stopped never does."""


class Occupancy(Protocol):
    """What is known about commands that run without a client."""

    def busy(self, container_id: str) -> bool:
        """Whether a command runs in the sandbox. Raises SandboxFault when it cannot be asked."""

    def watch(self, sandbox_id: str) -> None:
        """Hold a lease on the sandbox until nothing runs in it any more. Does not block."""


def expired(
    rows: Iterable[SandboxRow], *, idle_timeout_s: float, now: float, boot_id: str
) -> list[SandboxRow]:
    """The ready sandboxes that nobody has leased for `idle_timeout_s` at `now` (boot time).

    A row of an earlier boot counts as expired: its clock does not exist any more.
    """
    return [
        row
        for row in rows
        if row.state == "ready"
        and row.lease_count == 0
        and (row.boot_id != boot_id or now - row.idle_since >= idle_timeout_s)
    ]


class Expiry:
    """Removes what has expired."""

    def __init__(
        self,
        store: SandboxStore,
        removal: Removal,
        occupancy: Occupancy,
        idle_timeout_s: float,
    ) -> None:
        self._store = store
        self._removal = removal
        self._occupancy = occupancy
        self._idle_timeout_s = idle_timeout_s
        self._pool = Pool(AT_A_TIME)
        self._under_way: set[str] = set()

    def sweep(self) -> None:
        """Begin one round. A sandbox that fails, or takes long, does not stop the others."""
        candidates = expired(
            self._store.live(),
            idle_timeout_s=self._idle_timeout_s,
            now=clock.boot_s(),
            boot_id=clock.boot_id(),
        )
        for row in candidates:
            # Side by side, and not waited for: one whose agent does not answer must hold up
            # neither the others nor the next round.
            if row.sandbox_id not in self._under_way and self._pool.free_count() > 0:
                self._under_way.add(row.sandbox_id)
                self._pool.spawn(self._look_at, row)

    def _look_at(self, row: SandboxRow) -> None:
        try:
            self._end_if_idle(row)
        except EngineFault as error:
            log.warning("cannot clean up sandbox %s yet: %s", row.sandbox_id, error)
        except Exception:
            log.exception("cleaning up sandbox %s failed", row.sandbox_id)
        finally:
            self._under_way.discard(row.sandbox_id)

    def _end_if_idle(self, row: SandboxRow) -> None:
        if row.container_id is not None and self._runs_something(row.container_id):
            self._occupancy.watch(row.sandbox_id)
            return
        # Only if nobody has come since the row was read: a connect changes leases, a disconnect
        # changes `idle_since`, and either makes the claim fail.
        if self._store.claim_idle_removal(row.sandbox_id, idle_since=row.idle_since):
            log.info("sandbox %s has been idle for too long", row.sandbox_id)
            self._removal.carry_out(row)

    def _runs_something(self, container_id: str) -> bool:
        silence = AgentUnavailable(f"no answer within {ANSWER_LIMIT_S:g} s")
        try:
            with gevent.Timeout(ANSWER_LIMIT_S, silence):
                return self._occupancy.busy(container_id)
        except ContainerGone:
            return False
        except SandboxFault as error:
            log.warning("container %.12s does not say what it runs: %s", container_id, error)
            return False
