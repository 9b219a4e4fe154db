"""Show, list and measure sandboxes; the lease that a client holds while connected."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gateway import clock
from gateway.engine.interface import ContainerInfo, ContainerUsage, Engine
from gateway.errors import BadFields, SandboxBusy, SandboxNotFound
from gateway.process.slices_of_work import SLICE, slice_of_work
from gateway.sandboxes.life.pause_and_resume import PauseAndResume
from gateway.sandboxes.life.sandbox_check import SandboxCheck, status_seen
from gateway.sandboxes.life.sandbox_view import SandboxView, view_of
from gateway.sandboxes.spec.container_labels import INSTANCE
from gateway.schemas.models import SandboxStatus
from gateway.schemas.models.sandboxes import RESERVED_VARIABLES_PREFIX
from gateway.store.holds import HoldStore
from gateway.store.leases import LeaseStore
from gateway.store.rows import SandboxRow
from gateway.store.sandboxes import SandboxStore


@dataclass(frozen=True)
class Lease:
    """The right to use a sandbox: while it is held, the sandbox is not idle."""

    lease_id: str
    sandbox_id: str
    container_id: str
    owner: str
    """Name of the key whose sandbox it is; the sandbox's id where there are no keys."""


class Sandboxes:
    """The sandboxes of this gateway, over all its workers.

    `linked` says whether this process has a working link to a container, which proves that it
    runs without asking the engine.
    """

    def __init__(
        self,
        store: SandboxStore,
        leases: LeaseStore,
        engine: Engine,
        check: SandboxCheck,
        pausing: PauseAndResume,
        instance_id: str,
        worker_id: str,
        linked: Callable[[str], bool],
        holds: HoldStore,
    ) -> None:
        self._holds = holds
        self._store = store
        self._leases = leases
        self._engine = engine
        self._check = check
        self._pausing = pausing
        self._instance_id = instance_id
        self._worker_id = worker_id
        self._linked = linked

    # --- looking -------------------------------------------------------------------------------

    def get(self, sandbox_id: str) -> SandboxView:
        """Raises SandboxNotFound."""
        return self._check.view(sandbox_id)

    def list(
        self,
        *,
        status: SandboxStatus | None = None,
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
        after: str | None = None,
        owner: str | None = None,
    ) -> tuple[list[SandboxView], bool]:
        """Those that fit, oldest first, and whether there are more than `limit` of them.

        `after` is the id of the last one that the client has; those that came before it, or with
        it, are left out even when it has ended.
        """
        rows = tuple(self._rows(self._place_of(after, owner), owner))
        found = self._engine.containers({INSTANCE: self._instance_id})
        containers = {container.container_id: container for container in found}
        views: list[SandboxView] = []
        for row in rows:
            if row.state == "removing":
                continue
            if any((row.labels or {}).get(name) != value for name, value in (labels or {}).items()):
                continue
            view = self._listed(row, containers)
            if view is None or status not in (None, view.status):
                continue
            if limit is not None and len(views) == limit:
                return views, True
            views.append(view)
        return views, False

    def _rows(self, place: tuple[float, str], owner: str | None) -> Iterator[SandboxRow]:
        """The live ones behind a place."""
        while True:
            with slice_of_work():
                some = self._store.live_after(place, owner=owner, limit=SLICE)
            yield from self._check.as_used(some)
            if len(some) < SLICE:
                return
            place = (some[-1].created_at, some[-1].sandbox_id)

    def _listed(
        self, row: SandboxRow, containers: Mapping[str, ContainerInfo]
    ) -> SandboxView | None:
        if row.container_id is None:
            return view_of(row, "starting")
        if row.state == "held":
            return view_of(row)
        container = containers.get(row.container_id)
        if container is None or container.state not in ("running", "paused"):
            return None  # reconciliation will find out why
        return view_of(row, status_seen(row, container))

    def _place_of(self, sandbox_id: str | None, owner: str | None) -> tuple[float, str]:
        if sandbox_id is None:
            return -1.0, ""
        row = self._store.get(sandbox_id)
        if row is None or owner not in (None, row.owner):
            raise BadFields(
                "there was no such sandbox",
                errors=[{"loc": ["after"], "msg": "no such sandbox", "type": "unknown"}],
            )
        return row.created_at, sandbox_id

    def usage(self, sandbox_id: str) -> tuple[ContainerUsage, SandboxView]:
        """What it uses, beside its limits. Takes about a second. Raises SandboxNotFound."""
        row = self._check.live(sandbox_id)
        if row.container_id is None:
            raise SandboxBusy("it is being created")
        view = view_of(row, status_seen(row, self._check.container_or_end(row)))
        return self._engine.usage(row.container_id), view

    def env_of(self, sandbox_id: str) -> dict[str, str]:
        """The environment of every command in it, as far as its create gave it. The engine keeps
        that, not the store. Raises SandboxNotFound, SandboxBusy and the engine's errors."""
        row = self._check.live(sandbox_id)
        if row.container_id is None:
            raise SandboxBusy("it is being created")
        given = self._engine.inspect(row.container_id).env.items()
        return {
            name.removeprefix(RESERVED_VARIABLES_PREFIX): value
            for name, value in given
            if name.startswith(RESERVED_VARIABLES_PREFIX)
        }

    def owner_of(self, sandbox_id: str) -> str | None:
        """The owner's name, also of one that has ended; None when it is not known."""
        row = self._store.get(sandbox_id)
        return None if row is None or row.state in ("pooling", "pooled") else row.owner

    def not_found(self, sandbox_id: str) -> SandboxNotFound:
        """The error that says so, with the end record of one that has ended."""
        return self._check.not_found(sandbox_id)

    # --- using ---------------------------------------------------------------------------------

    def lease(self, sandbox_id: str, purpose: str = "client") -> Lease:
        """Begin to use a sandbox; a paused one is resumed, but for `purpose` `command`.

        Raises SandboxNotFound, SandboxBusy, and the engine's errors. The lease is taken first and
        the container looked at after, so that no cleanup can come between.
        """
        lease_id = secrets.token_hex(8)
        leased = self._leases.acquire_lease(
            lease_id, sandbox_id, worker_id=self._worker_id, purpose=purpose
        )
        if leased is None:
            raise self._check.not_found(sandbox_id)
        if leased.state == "ready" and leased.container_id and self._linked(leased.container_id):
            return Lease(lease_id, sandbox_id, leased.container_id, leased.owner or sandbox_id)
        try:
            container_id, owner = self.make_usable(sandbox_id, resumes=purpose == "client")
        except BaseException:
            self._leases.release_lease(lease_id, sandbox_id, now=clock.boot_s())
            raise
        return Lease(lease_id, sandbox_id, container_id, owner)

    def is_linked(self, container_id: str) -> bool:
        """Whether a working link proves that the container runs."""
        return self._linked(container_id)

    def make_usable(self, sandbox_id: str, *, resumes: bool = True) -> tuple[str, str]:
        """For somebody who has a lease: the container, which runs unless it is paused and not to
        be resumed, and the owner as in `Lease`. Raises what `lease` does."""
        row = self._check.live(sandbox_id)
        if resumes:
            row = self._check.resume(row)
        if row.container_id is None:
            raise SandboxNotFound(sandbox_id)
        if not self._linked(row.container_id):
            container = self._check.container_or_end(row)
            if container.state == "paused" and resumes:
                # By another hand, just now.
                self._pausing.follow_engine(row, "paused")
                self.resume_leased(sandbox_id)
        return row.container_id, row.owner or sandbox_id

    def resume_leased(self, sandbox_id: str) -> None:
        """Resume a sandbox for somebody who has a lease. Raises what `lease` does."""
        self._check.resume(self._check.live(sandbox_id))

    def paused_among(self, sandbox_ids: set[str]) -> dict[str, float]:
        """Those of the sandboxes that are paused, with the boot time since when."""
        return self._store.paused_among(sandbox_ids)

    def leave_running(self, lease: Lease) -> None:
        """The client has gone, and the lease is kept for what it left running: a paused sandbox is
        idle all the same."""
        self._leases.leave_running(lease.lease_id, lease.sandbox_id, now=clock.boot_s())

    def release(self, lease: Lease) -> None:
        """Stop using a sandbox; with the last lease it becomes idle. May be repeated."""
        self._leases.release_lease(lease.lease_id, lease.sandbox_id, now=clock.boot_s())

    def restored_among(self, sandbox_ids: set[str]) -> dict[str, tuple[int, str]]:
        """Those of the sandboxes that were ever restored: how often, and from which snapshot the
        last time."""
        return self._holds.restored_among(sandbox_ids)

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        """Those of the sandboxes that are no more, with why."""
        known = self._store.end_reasons(sandbox_ids)
        reasons = {sandbox_id: known.get(sandbox_id, "deleted") for sandbox_id in sandbox_ids}
        return {sandbox_id: reason for sandbox_id, reason in reasons.items() if reason}
