"""Show, list, change, pause and delete sandboxes; the lease that a client holds while connected."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gevent

from gateway import clock
from gateway.engine.interface import ContainerInfo, ContainerUsage, Engine
from gateway.errors import BadFields, ContainerGone, SandboxBusy, SandboxNotFound
from gateway.models import SandboxChange, SandboxStatus
from gateway.models.sandboxes import given
from gateway.sandboxes.endings import GONE, ending_of
from gateway.sandboxes.freezing import Freezing
from gateway.sandboxes.labels import INSTANCE
from gateway.sandboxes.options import Options
from gateway.sandboxes.removal import Removal
from gateway.sandboxes.views import SandboxView, not_found, status_of, view_of
from gateway.store.leases import LeaseStore
from gateway.store.rows import SandboxRow
from gateway.store.sandboxes import SandboxStore

VERDICT_S = 2.0
LOOK_S = 0.05
"""How long, and how often, one who found a stopped container waits for its certificate."""


@dataclass(frozen=True)
class Lease:
    """The right to use a sandbox: while it is held, the sandbox is not idle."""

    lease_id: str
    sandbox_id: str
    container_id: str


class Sandboxes:
    """The sandboxes of this gateway, over all its workers.

    `linked` says whether this process has a working link to a container, which proves that it
    runs without asking the engine. `commands_of` gives the last commands of one that has ended.
    """

    def __init__(
        self,
        store: SandboxStore,
        leases: LeaseStore,
        engine: Engine,
        removal: Removal,
        freezing: Freezing,
        options: Options,
        instance_id: str,
        worker_id: str,
        linked: Callable[[str], bool],
        commands_of: Callable[[str], list[dict[str, Any]]],
    ) -> None:
        self._store = store
        self._leases = leases
        self._engine = engine
        self._removal = removal
        self._freezing = freezing
        self._options = options
        self._instance_id = instance_id
        self._worker_id = worker_id
        self._linked = linked
        self._commands_of = commands_of

    # --- looking -------------------------------------------------------------------------------

    def get(self, sandbox_id: str) -> SandboxView:
        """Raises SandboxNotFound."""
        row = self._live_row(sandbox_id)
        if row.container_id is None:
            return view_of(row, "starting")
        return view_of(row, self._seen(row, self._inspect(row)))

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
        rows = [row for row in self._store.live() if row.state != "removing"]
        found = self._engine.containers({INSTANCE: self._instance_id})
        containers = {container.container_id: container for container in found}
        begin = self._place_of(after, owner)
        views: list[SandboxView] = []
        for row in rows:
            if (row.created_at, row.sandbox_id) <= begin or owner not in (None, row.owner):
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

    def _listed(
        self, row: SandboxRow, containers: Mapping[str, ContainerInfo]
    ) -> SandboxView | None:
        if row.container_id is None:
            return view_of(row, "starting")
        container = containers.get(row.container_id)
        if container is None or container.state not in ("running", "paused"):
            return None  # reconciliation will find out why
        return view_of(row, self._seen(row, container))

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

    @staticmethod
    def _seen(row: SandboxRow, container: ContainerInfo) -> SandboxStatus:
        """What the engine sees counts: another hand may have frozen or thawed it just now."""
        if container.state == "paused":
            return "paused"
        status = status_of(row)
        if status == "paused":
            return "connected" if row.lease_count else "idle"
        return status

    def usage(self, sandbox_id: str) -> tuple[ContainerUsage, SandboxView]:
        """What it uses, beside its limits. Takes about a second. Raises SandboxNotFound."""
        row = self._live_row(sandbox_id)
        if row.container_id is None:
            raise SandboxBusy("it is being created")
        view = view_of(row, self._seen(row, self._inspect(row)))
        return self._engine.usage(row.container_id), view

    def owner_of(self, sandbox_id: str) -> str | None:
        """The owner's name, also of one that has ended; None when it is not known."""
        row = self._store.get(sandbox_id)
        return None if row is None or row.state in ("pooling", "pooled") else row.owner

    # --- changing ------------------------------------------------------------------------------

    def change(self, sandbox_id: str, change: SandboxChange) -> SandboxView:
        """Deadlines and labels. Raises SandboxNotFound, BadFields."""
        self._options.check_change(change)
        row = self._live_row(sandbox_id)
        values: dict[str, Any] = {}
        fields = given(change)
        if "labels" in fields:
            values["labels"] = dict(fields["labels"])
        if "idle_timeout" in fields:
            values["idle_timeout_s"] = fields["idle_timeout"]
        if "timeout" in fields:
            timeout_s = fields["timeout"]
            if timeout_s is None:
                timeout_s = self._options.default().timeout_s
            values["timeout_s"] = timeout_s
            values["expires"] = None if timeout_s is None else row.born + timeout_s
            if timeout_s is not None and values["expires"] <= clock.boot_s():
                raise BadFields(
                    "its lifetime would be over already",
                    errors=[
                        {
                            "loc": ["timeout"],
                            "msg": "counted from its creation, it would be over already",
                            "type": "in_the_past",
                        }
                    ],
                )
        if values and not self._store.change(sandbox_id, now=clock.boot_s(), **values):
            raise self._not_found(sandbox_id)
        return self.get(sandbox_id)

    def pause(self, sandbox_id: str) -> SandboxView:
        """Freeze it. Raises SandboxNotFound, SandboxBusy and the engine's errors."""
        row = self._live_row(sandbox_id)
        if row.state == "starting":
            raise SandboxBusy("it is being created")
        try:
            self._freezing.pause(row)
        except ContainerGone:
            self._inspect(row)
            raise
        return self.get(sandbox_id)

    def resume(self, sandbox_id: str) -> SandboxView:
        """Thaw it. Raises SandboxNotFound, SandboxBusy and the engine's errors."""
        self._running(self._live_row(sandbox_id))
        return self.get(sandbox_id)

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
            raise self._not_found(sandbox_id)

    # --- using ---------------------------------------------------------------------------------

    def lease(self, sandbox_id: str, purpose: str = "client") -> Lease:
        """Begin to use a sandbox; a paused one is thawed, but for `purpose` `command`.

        Raises SandboxNotFound, SandboxBusy, and the engine's errors. The lease is taken first and
        the container looked at after, so that no cleanup can come between.
        """
        lease_id = secrets.token_hex(8)
        taken = self._leases.acquire_lease(
            lease_id, sandbox_id, worker_id=self._worker_id, purpose=purpose
        )
        if not taken:
            raise self._not_found(sandbox_id)
        try:
            row = self._live_row(sandbox_id)
            if purpose == "client":
                row = self._running(row)
            if row.container_id is None:
                raise SandboxNotFound(sandbox_id)
            if not self._linked(row.container_id):
                container = self._inspect(row)
                if container.state == "paused" and purpose == "client":
                    # By another hand, just now.
                    self._freezing.settle(row, "paused")
                    self.wake(sandbox_id)
        except BaseException:
            self._leases.release_lease(lease_id, sandbox_id, now=clock.boot_s())
            raise
        return Lease(lease_id, sandbox_id, row.container_id)

    def _running(self, row: SandboxRow) -> SandboxRow:
        """The row of a sandbox that is not paused, or not any more."""
        if row.state == "ready":
            return row
        try:
            thawed = self._freezing.thaw(row.sandbox_id)
        except ContainerGone:
            self._inspect(row)
            raise
        if thawed is None or thawed.state not in ("starting", "ready"):
            raise self._not_found(row.sandbox_id)
        return thawed

    def wake(self, sandbox_id: str) -> None:
        """Thaw a sandbox for somebody who has a lease. Raises what `lease` does."""
        self._running(self._live_row(sandbox_id))

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

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        """Those of the sandboxes that are no more, with why."""
        known = self._store.end_reasons(sandbox_ids)
        reasons = {sandbox_id: known.get(sandbox_id, "deleted") for sandbox_id in sandbox_ids}
        return {sandbox_id: reason for sandbox_id, reason in reasons.items() if reason}

    # --- rows ----------------------------------------------------------------------------------

    def _live_row(self, sandbox_id: str) -> SandboxRow:
        row = self._store.get(sandbox_id)
        if row is None or row.state not in ("starting", "ready", "pausing", "paused"):
            raise not_found(sandbox_id, row, self._commands_of)
        return row

    def _not_found(self, sandbox_id: str) -> SandboxNotFound:
        return not_found(sandbox_id, self._store.get(sandbox_id), self._commands_of)

    def _inspect(self, row: SandboxRow) -> ContainerInfo:
        """The row's container, running or paused. Raises SandboxNotFound, and ends the sandbox
        if there is no such container any more."""
        assert row.container_id is not None
        try:
            container = self._engine.inspect(row.container_id)
        except ContainerGone:
            self._removal.note_gone(row, GONE.reason, GONE.detail)
            raise self._not_found(row.sandbox_id) from None
        if container.state not in ("running", "paused"):
            self._end_stopped(row)
            raise self._not_found(row.sandbox_id)
        return container

    def _end_stopped(self, row: SandboxRow) -> None:
        """Whoever follows the engine's events knows best why it stopped, and sees to it; if nobody
        does in time, this does."""
        assert row.container_id is not None
        deadline = time.monotonic() + VERDICT_S
        while time.monotonic() < deadline:
            now = self._store.get(row.sandbox_id)
            if now is None or now.state == "ended":
                return
            gevent.sleep(LOOK_S)
        try:
            container = self._engine.inspect(row.container_id)
            end = ending_of(container, oom_seen_s_ago=None, engine_was_away=False)
        except ContainerGone:
            end = GONE
        self._removal.note_gone(row, end.reason, end.detail, end.exit_code)
