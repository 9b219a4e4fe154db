"""What the engine has against what the store says: the engine is right about what exists."""

from __future__ import annotations

import logging
import time
from typing import Protocol

from gateway import clock
from gateway.engine.interface import ContainerInfo, Engine
from gateway.errors import ContainerGone, EngineFault, GatewayError
from gateway.sandboxes.expiry import Occupancy
from gateway.sandboxes.labels import INSTANCE, Origin, origin_of
from gateway.sandboxes.removal import Removal
from gateway.sandboxes.service import end_of
from gateway.store.sandboxes import SandboxRow, SandboxStore

log = logging.getLogger(__name__)

RECONNECT_S = 1.0

_ENDINGS = ("die", "destroy")

_ALIVE = ("running", "paused", "restarting")


class Liveness(Protocol):
    """Which workers still run."""

    def dead(self, worker_ids: set[str]) -> set[str]: ...

    def sweep(self) -> None: ...


class Reconciliation:
    """Brings store and engine together again after a crash or a hand from outside."""

    def __init__(
        self,
        store: SandboxStore,
        engine: Engine,
        removal: Removal,
        occupancy: Occupancy,
        workers: Liveness,
        instance_id: str,
    ) -> None:
        self._store = store
        self._engine = engine
        self._removal = removal
        self._occupancy = occupancy
        self._workers = workers
        self._instance_id = instance_id

    def take_over_from_dead_workers(self) -> None:
        """Drop leases of workers that were killed; watch what still runs in their sandboxes."""
        dead = self._workers.dead(self._store.workers_with_traces())
        if dead:
            for sandbox_id in self._store.drop_leases_of(dead, now=clock.boot_s()):
                self._occupancy.watch(sandbox_id)
            for row in self._store.live():
                if row.state == "starting" and row.worker_id in dead:
                    self._undo_create(row)
        self._workers.sweep()

    def _undo_create(self, row: SandboxRow) -> None:
        """Its worker was killed in the middle: the container may or may not have been made."""
        try:
            self._engine.remove(f"sandbox-{row.sandbox_id}")
        except EngineFault as error:
            log.warning("cannot undo the creation of %s yet: %s", row.sandbox_id, error)
            return
        self._store.mark_ended(row.sandbox_id, "create_failed", ended_at=clock.wall_s())

    def follow_events(self) -> None:
        """Compare as soon as the engine says that a container ended. Never returns.

        Events are a hint to look, no more: some are missed while the engine is away, so a full
        comparison follows each reconnect, and others come from time to time anyway.
        """
        while True:
            try:
                for event in self._engine.events({INSTANCE: self._instance_id}, None):
                    if event.action in _ENDINGS:
                        self.compare()
            except GatewayError as error:
                log.warning("cannot follow the engine's events: %s", error)
            time.sleep(RECONNECT_S)

    def compare(self) -> None:
        """One full comparison.

        The store is read first: whatever is ready in it by then must be in the engine's list.
        """
        rows = {row.sandbox_id: row for row in self._store.live()}
        containers = self._engine.containers({INSTANCE: self._instance_id})
        seen = set()
        for container in containers:
            origin = origin_of(container.labels)
            if origin is None:
                continue
            seen.add(origin.sandbox_id)
            try:
                self._settle(origin, container, rows.get(origin.sandbox_id))
            except EngineFault as error:
                log.warning("cannot settle sandbox %s yet: %s", origin.sandbox_id, error)
        for sandbox_id, row in rows.items():
            if sandbox_id not in seen and row.state in ("ready", "removing"):
                self._removal.note_gone(row, "engine_lost")

    def _settle(self, origin: Origin, container: ContainerInfo, row: SandboxRow | None) -> None:
        if row is None:
            self._settle_unknown(origin, container)
        elif row.state == "removing":
            self._removal.carry_out(row)
        elif row.state == "ready" and container.state not in _ALIVE:
            self._removal.note_gone(row, self._reason(container))

    def _settle_unknown(self, origin: Origin, container: ContainerInfo) -> None:
        """A container of this gateway that the store did not know as alive a moment ago."""
        row = self._store.get(origin.sandbox_id)
        if row is not None and row.state != "ended":
            return  # created in between
        if row is not None or container.state not in _ALIVE:
            self._engine.remove(container.container_id)
            return
        adopted = self._store.adopt(
            origin.sandbox_id,
            container_id=container.container_id,
            ip_address=container.ip_address,
            created_at=origin.created_at,
            now=clock.boot_s(),
            boot_id=clock.boot_id(),
        )
        if adopted:
            log.info("adopted sandbox %s", origin.sandbox_id)
            self._occupancy.watch(origin.sandbox_id)

    def _reason(self, container: ContainerInfo) -> str:
        try:
            return end_of(self._engine.inspect(container.container_id))
        except ContainerGone:
            return "engine_lost"
