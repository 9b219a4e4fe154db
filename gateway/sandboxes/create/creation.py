"""Creating a sandbox: taken from the pool where one fits, else made."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.lock import BoundedSemaphore
from gevent.pool import Group

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import (
    CapacityExhausted,
    ContainerGone,
    EngineFault,
    EngineRefused,
    GatewayError,
    SandboxFault,
    SandboxNotFound,
    TooManySandboxes,
    TooManyWaiting,
)
from gateway.metrics import Kind, Metrics
from gateway.process.change_feed import ChangeFeed
from gateway.sandboxes.create.admission_controller import AdmissionController
from gateway.sandboxes.create.container_names import new_name
from gateway.sandboxes.create.containers import Containers
from gateway.sandboxes.create.idempotency import first_of_key, key_of
from gateway.sandboxes.create.new_row import new_row
from gateway.sandboxes.create.snapshot_bases import Bases
from gateway.sandboxes.create.warm_pool import Pool
from gateway.sandboxes.ending.removal import Removal
from gateway.sandboxes.life.sandbox_view import SandboxView, view_of
from gateway.sandboxes.spec.container_labels import uid_of
from gateway.sandboxes.spec.owner_limits import EVERYBODY, Owner
from gateway.sandboxes.spec.sandbox_spec import SandboxSpec
from gateway.sandboxes.spec.spec_resolver import SpecResolver
from gateway.schemas.models import SandboxCreate
from gateway.store.rows import SandboxRow
from gateway.store.sandboxes import SandboxStore
from gateway.store.snapshots import SnapshotRow

log = logging.getLogger(__name__)

AT_A_TIME = 4
"""Containers that this process starts side by side. An engine that is asked for fifty at once
takes longer for all of them, and answers nobody meanwhile."""

RENAME_AFTER_S = 1.0
"""A rename costs the engine 7 to 20 ms, which whoever runs the first command would feel."""


@dataclass(frozen=True)
class Created:
    """`is_replay`: it is the first sandbox of the idempotency key, made earlier."""

    view: SandboxView
    is_replay: bool = False


class Creation:
    """Creates sandboxes; owns the greenlets that finish what clients need not wait for.

    `probe` makes sure that a container runs, and raises ContainerGone when it does not; it is told
    whether the container's limits have just been changed. `warm` starts the agent in a container,
    `drop_link` closes the link to it.
    """

    def __init__(
        self,
        store: SandboxStore,
        engine: Engine,
        admission_controller: AdmissionController,
        resolver: SpecResolver,
        containers: Containers,
        pool: Pool,
        removal: Removal,
        probe: Callable[[str, bool], None],
        warm: Callable[[str], None],
        drop_link: Callable[[str], None],
        worker_id: str,
        metrics: Metrics,
        feed: ChangeFeed,
        bases: Bases,
    ) -> None:
        self._bases = bases
        self._store = store
        self._engine = engine
        self._admission_controller = admission_controller
        self._resolver = resolver
        self._containers = containers
        self._pool = pool
        self._removal = removal
        self._probe = probe
        self._warm = warm
        self._drop_link = drop_link
        self._worker_id = worker_id
        self._metrics = metrics
        self._feed = feed
        self._turns = BoundedSemaphore(AT_A_TIME)
        self._finishing = Group()

    def create(
        self,
        request: SandboxCreate,
        *,
        owner: Owner = EVERYBODY,
        key: str | None = None,
        has_left: Callable[[], bool] = lambda: False,
        base: SnapshotRow | None = None,
    ) -> Created:
        """A sandbox that can be used. On failure nothing of it is left behind.

        `key` is the client's idempotency key; a wait for room ends when the client `has_left`.
        It begins with the files of `base`, else of the snapshot that the request names.
        Raises BadFields, SnapshotNotFound, SnapshotTooLarge, BaseImageChanged, what
        `AdmissionController.admit` raises, IdempotencyKeySpent, ImageMissing and the engine's
        errors.
        """
        begun = time.monotonic()
        idempotency = key_of(key, request)
        if request.snapshot is not None and base is None:
            base = self._bases.named(request.snapshot, owner.name)
        if base is not None:
            request = self._bases.applied(request, base)
        spec = self._resolver.resolve(request)
        while True:
            wanted = new_row(
                spec,
                "starting",
                self._worker_id,
                owner=owner.name,
                pool_key=self._pool.key_for(spec, base=base),
                origin=None if base is None else base.origin or base.sandbox_id,
            )
            needs_update = not self._pool.has_limits(spec.limits)
            try:
                admission = self._admission_controller.admit(
                    wanted,
                    owner,
                    idempotency,
                    needs_update=needs_update,
                    leave_pooled=self._pool.leaves_to_others(owner.name, base),
                    has_left=has_left,
                )
            except (CapacityExhausted, TooManySandboxes, TooManyWaiting) as refusal:
                self._metrics.refused(refusal.code)
                raise
            if admission.existing is not None:
                first = first_of_key(self._store, self._feed, admission.existing)
                if first is not None:
                    return Created(first, is_replay=True)
                continue  # it came to nothing: this one is the first now
            assert admission.row is not None
            row, is_warm = admission.row, admission.is_warm
            view = self._carry_out(row, spec, wanted.pool_key, is_warm, begun, owner)
            if view is not None:
                return Created(view)

    def _carry_out(
        self,
        row: SandboxRow,
        spec: SandboxSpec,
        pool_key: str | None,
        is_warm: bool,
        begun: float,
        owner: Owner,
    ) -> SandboxView | None:
        """What was admitted, counted; None when the pooled container is not there any more."""
        kind: Kind = "warm" if is_warm else "cold"
        if is_warm:
            self._pool.shares.took(row.owner)
            self._metrics.pool_hit()
        elif pool_key is not None:
            self._metrics.pool_miss()
        try:
            view = self._take(row, spec) if is_warm else self._make(row, spec, owner)
        except BaseException:
            self._metrics.create_failed(kind)
            raise
        if view is not None:
            self._metrics.created(kind, time.monotonic() - begun)
        return view

    # --- cold ----------------------------------------------------------------------------------

    def _make(self, row: SandboxRow, spec: SandboxSpec, owner: Owner) -> SandboxView:
        try:
            with self._turns:
                container = self._containers.make(row, spec, new_name())
            if owner.has_neighbours:
                # Before it is ready: from then on it may be idle for too long.
                self._start_agent(container.container_id)
        except BaseException as error:
            self._give_up(row, error)
            raise
        now = clock.boot_s()
        ready = self._store.mark_ready(
            row.sandbox_id,
            container_id=container.container_id,
            ip_address=container.ip_address,
            now=now,
            pid=container.pid,
            uid=uid_of(container.labels),
        )
        if not ready:
            self._engine.remove(container.container_id)
            raise SandboxNotFound(row.sandbox_id, "it was deleted while it was being created")
        if owner.has_neighbours and not self._pool.has_limits(spec.limits):
            self._drop_link(container.container_id)  # it was told the usual limits
        return self._view(row.sandbox_id)

    def _start_agent(self, container_id: str) -> None:
        """So that the first command is as quick as the next. Left to that command, the start waited
        among other tenants' processes for up to 2.6 s; who is alone gains nothing by it. Without it
        the sandbox is as good as before: the command tries again, and tells what is wrong."""
        try:
            self._warm(container_id)
        except GatewayError as error:
            log.info("no agent yet in container %.12s: %s", container_id, error)

    def _give_up(self, row: SandboxRow, error: BaseException) -> None:
        code = error.code if isinstance(error, GatewayError) else type(error).__name__
        self._removal.fail_create(row, code)

    # --- warm ----------------------------------------------------------------------------------

    def _take(self, row: SandboxRow, spec: SandboxSpec) -> SandboxView | None:
        """None when the pooled container is not there any more, or cannot be used."""
        assert row.container_id is not None
        try:
            has_new_limits = row.state == "starting"
            if has_new_limits:
                self._engine.update(row.container_id, spec.limits, spec.isolation)
                self._store.mark_ready(
                    row.sandbox_id,
                    container_id=row.container_id,
                    ip_address=row.ip_address,
                    now=clock.boot_s(),
                    pid=row.pid,
                    uid=row.uid,
                )
            self._probe(row.container_id, has_new_limits)
        except (ContainerGone, EngineRefused, SandboxFault) as error:
            # Killed, removed, paused: somebody else's doing is not the client's trouble.
            log.info("pooled sandbox %s cannot be used: %s", row.sandbox_id, error)
            self._give_up(row, error)
            return None
        except BaseException as error:
            self._give_up(row, error)
            raise
        renaming = gevent.spawn_later(RENAME_AFTER_S, self._rename, row)
        self._finishing.add(renaming)
        return view_of(row, "idle")

    def _rename(self, row: SandboxRow) -> None:
        """From the pool's name to a sandbox's. Reconciliation does it when this fails."""
        assert row.container_id is not None
        try:
            self._engine.rename(row.container_id, new_name())
        except EngineFault as error:
            log.debug("cannot rename the container of %s yet: %s", row.sandbox_id, error)

    def _view(self, sandbox_id: str) -> SandboxView:
        row = self._store.get(sandbox_id)
        if row is None or row.state not in ("ready", "pausing", "paused", "held"):
            raise SandboxNotFound(sandbox_id, "it was deleted while it was being created")
        return view_of(row)

    def close(self) -> None:
        """End what waits. May be repeated."""
        self._admission_controller.close()
