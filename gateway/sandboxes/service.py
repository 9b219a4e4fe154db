"""Create, show, list and delete sandboxes; the lease that a client holds while connected."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from gateway import clock
from gateway.engine.interface import ContainerInfo, ContainerSpec, Engine, Limits
from gateway.errors import ContainerGone, EngineRefused, ImageMissing, SandboxNotFound
from gateway.models import SandboxStatus
from gateway.sandboxes.labels import INSTANCE, labels_of
from gateway.sandboxes.removal import Removal
from gateway.store.sandboxes import SandboxRow, SandboxStore


@dataclass(frozen=True)
class SandboxView:
    """A sandbox as clients see it."""

    sandbox_id: str
    status: SandboxStatus
    created_at: float
    ip_address: str | None


@dataclass(frozen=True)
class Blueprint:
    """What every new sandbox is made from."""

    instance_id: str
    image: str
    network: str
    limits: Limits


@dataclass(frozen=True)
class Lease:
    """The right to use a sandbox: while it is held, the sandbox is not idle."""

    lease_id: str
    sandbox_id: str
    container_id: str


class Sandboxes:
    """The sandboxes of this gateway, over all its workers.

    `linked` says whether this process has a working link to a container, which proves that it
    runs without asking the engine.
    """

    def __init__(
        self,
        store: SandboxStore,
        engine: Engine,
        removal: Removal,
        blueprint: Blueprint,
        worker_id: str,
        linked: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._engine = engine
        self._removal = removal
        self._blueprint = blueprint
        self._worker_id = worker_id
        self._linked = linked
        self._network_ready = False

    def create(self) -> SandboxView:
        """Make a sandbox and start it. On failure nothing of it is left behind.

        Raises ImageMissing and the engine's errors.
        """
        sandbox_id = secrets.token_hex(16)
        created_at = clock.wall_s()
        self._store.add_starting(
            sandbox_id,
            worker_id=self._worker_id,
            created_at=created_at,
            now=clock.boot_s(),
            boot_id=clock.boot_id(),
        )
        try:
            container = self._start_container(sandbox_id, created_at)
        except BaseException:
            # Not forgotten: should a container be left, reconciliation must know it for a failure.
            self._store.mark_ended(sandbox_id, "create_failed", ended_at=clock.wall_s())
            raise
        ready = self._store.mark_ready(
            sandbox_id,
            container_id=container.container_id,
            ip_address=container.ip_address,
            now=clock.boot_s(),
        )
        if not ready:
            self._engine.remove(container.container_id)
            raise SandboxNotFound(sandbox_id, "it was deleted while it was being created")
        return SandboxView(sandbox_id, "idle", created_at, container.ip_address)

    def _start_container(self, sandbox_id: str, created_at: float) -> ContainerInfo:
        blueprint = self._blueprint
        spec = ContainerSpec(
            name=f"sandbox-{sandbox_id}",
            image=blueprint.image,
            network=blueprint.network,
            limits=blueprint.limits,
            labels=labels_of(blueprint.instance_id, sandbox_id, created_at),
        )
        was_ready = self._network_ready
        self._ensure_network()
        try:
            return self._engine.start_container(spec)
        except ImageMissing:
            raise
        except EngineRefused:
            if not was_ready:
                raise
            # The network may have been removed since it was last looked for.
            self._network_ready = False
            self._ensure_network()
            return self._engine.start_container(spec)

    def _ensure_network(self) -> None:
        if not self._network_ready:
            self._engine.ensure_network(self._blueprint.network)
            self._network_ready = True

    def get(self, sandbox_id: str) -> SandboxView:
        """Raises SandboxNotFound."""
        row = self._live_row(sandbox_id)
        if row.container_id is None:
            return _view(row, "starting")
        return _view(row, "paused" if self._inspect(row).state == "paused" else None)

    def list(self) -> list[SandboxView]:
        """All sandboxes, oldest first."""
        rows = [row for row in self._store.live() if row.state != "removing"]
        found = self._engine.containers({INSTANCE: self._blueprint.instance_id})
        containers = {container.container_id: container for container in found}
        views = []
        for row in rows:
            if row.container_id is None:
                views.append(_view(row, "starting"))
                continue
            container = containers.get(row.container_id)
            if container is None or container.state not in ("running", "paused"):
                continue  # reconciliation will find out why
            views.append(_view(row, "paused" if container.state == "paused" else None))
        return views

    def delete(self, sandbox_id: str) -> None:
        """Kill and remove a sandbox. Of several that try at once, one succeeds.

        Raises SandboxNotFound, and the engine's errors: then the sandbox is still there.
        """
        row = self._live_row(sandbox_id)
        if row.state == "starting":
            # Whoever is creating it will find out and remove the container.
            self._store.mark_ended(sandbox_id, "deleted", ended_at=clock.wall_s())
        elif self._store.claim_removal(sandbox_id, "deleted"):
            self._removal.carry_out(row)
        else:
            raise SandboxNotFound(sandbox_id)

    def lease(self, sandbox_id: str, purpose: str = "client") -> Lease:
        """Begin to use a sandbox. Raises SandboxNotFound, and the engine's errors.

        The lease is taken first and the container looked at after, so that no cleanup can come
        between.
        """
        lease_id = secrets.token_hex(8)
        taken = self._store.acquire_lease(
            lease_id, sandbox_id, worker_id=self._worker_id, purpose=purpose
        )
        if not taken:
            raise SandboxNotFound(sandbox_id)
        try:
            row = self._live_row(sandbox_id)
            if row.container_id is None:
                raise SandboxNotFound(sandbox_id)
            if not self._linked(row.container_id):
                self._inspect(row)
        except BaseException:
            self._store.release_lease(lease_id, sandbox_id, now=clock.boot_s())
            raise
        return Lease(lease_id, sandbox_id, row.container_id)

    def release(self, lease: Lease) -> None:
        """Stop using a sandbox; with the last lease it becomes idle. May be repeated."""
        self._store.release_lease(lease.lease_id, lease.sandbox_id, now=clock.boot_s())

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        """Those of the sandboxes that are no more, with why."""
        known = self._store.end_reasons(sandbox_ids)
        reasons = {sandbox_id: known.get(sandbox_id, "deleted") for sandbox_id in sandbox_ids}
        return {sandbox_id: reason for sandbox_id, reason in reasons.items() if reason}

    def _live_row(self, sandbox_id: str) -> SandboxRow:
        row = self._store.get(sandbox_id)
        if row is None or row.state not in ("starting", "ready"):
            raise SandboxNotFound(sandbox_id)
        return row

    def _inspect(self, row: SandboxRow) -> ContainerInfo:
        """The row's container, running or paused. Raises SandboxNotFound, and ends the sandbox
        if there is no such container any more."""
        assert row.container_id is not None
        try:
            container = self._engine.inspect(row.container_id)
        except ContainerGone:
            self._removal.note_gone(row, "engine_lost")
            raise SandboxNotFound(row.sandbox_id) from None
        if container.state not in ("running", "paused"):
            self._removal.note_gone(row, end_of(container))
            raise SandboxNotFound(row.sandbox_id)
        return container


def end_of(container: ContainerInfo) -> str:
    """Why a container that does not run any more came to its end."""
    return "oom" if container.oom_killed else "exited"


def _view(row: SandboxRow, status: SandboxStatus | None) -> SandboxView:
    if status is None:
        status = "connected" if row.lease_count else "idle"
    return SandboxView(row.sandbox_id, status, row.created_at, row.ip_address)
