"""After a worker was killed: its leases, and the sandboxes it was making, pausing or ending."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import gevent

from gateway import clock
from gateway.errors import EngineFault
from gateway.sandboxes.create.containers import Containers
from gateway.sandboxes.create.warm_pool import Pool
from gateway.sandboxes.ending.removal import Removal
from gateway.sandboxes.life.pause_and_resume import PauseAndResume
from gateway.sandboxes.upkeep.expiry import CommandWatcher
from gateway.store.leases import LeaseStore
from gateway.store.rows import SandboxRow
from gateway.store.sandboxes import SandboxStore

log = logging.getLogger(__name__)

WATCHED_S = 2.0
"""So long leases of killed workers are kept for new ones to take their place."""


class Liveness(Protocol):
    """Which workers still run."""

    def dead(self, worker_ids: set[str]) -> set[str]: ...

    def sweep(self) -> None: ...


class Holds(Protocol):
    """Sandboxes that were held, for a snapshot or to be restored."""

    def take_over(self, row: SandboxRow) -> None:
        """Finish, or undo. Raises nothing."""


class MadeByDead(Protocol):
    """Snapshots or templates that were being made."""

    def take_over_from(self, dead_workers: set[str]) -> None: ...


class DeadWorkers:
    """Takes over from workers that do not run any more."""

    def __init__(
        self,
        store: SandboxStore,
        leases: LeaseStore,
        containers: Containers,
        removal: Removal,
        pausing: PauseAndResume,
        pool: Pool,
        watcher: CommandWatcher,
        workers: Liveness,
        holds: Holds,
        makers: Sequence[MadeByDead],
    ) -> None:
        self._store = store
        self._leases = leases
        self._containers = containers
        self._removal = removal
        self._pausing = pausing
        self._pool = pool
        self._watcher = watcher
        self._workers = workers
        self._holds = holds
        self._makers = makers

    def take_over(self) -> None:
        """Drop what workers that were killed held, and finish or undo what they were doing."""
        dead = self._workers.dead(self._leases.workers_with_traces())
        if dead:
            # First the new lease, then no more the old one: what still runs is never idle between.
            watches = [self._watcher.watch(one) for one in self._leases.sandboxes_of(dead)]
            gevent.joinall(watches, timeout=WATCHED_S)
            self._leases.drop_leases_of(dead, now=clock.boot_s())
            for row in self._store.live():
                if row.worker_id in dead and row.state == "starting":
                    self._undo_create(row)
                elif row.worker_id in dead and row.state == "pausing":
                    self._pausing.end_pause_of_dead_worker(row)
                elif row.worker_id in dead and row.state == "held":
                    self._holds.take_over(row)
                elif row.worker_id in dead and row.state == "removing":
                    self._removal.leave(row)
            self._pool.take_over_from(dead)
            for maker in self._makers:
                maker.take_over_from(dead)
        self._workers.sweep()

    def _undo_create(self, row: SandboxRow) -> None:
        """Its worker was killed in the middle: the container may or may not have been made."""
        try:
            self._containers.remove_those_of(row.sandbox_id)
        except EngineFault as error:
            log.warning("cannot undo the creation of %s yet: %s", row.sandbox_id, error)
            return
        self._removal.fail_create(row, "the gateway was killed while it was being created")
